//! Requests that a browser sends for a page of another site, and those that have no token.

use std::time::Duration;

use anyhow::Result;

use super::{
    field::{Field, Findings, bearer},
    service::{ADMIN_TOKEN, METRICS_TOKEN},
    wire::{get, post},
};

const INTERVAL: Duration = Duration::from_millis(50);
const CROSS_SITE: &str =
    "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n";
const EVENT: &str = r#"{"userId":1,"event":"new_notification","payload":{}}"#;

/// Row 1b: whatever token a request has, a browser sent it for another site.
pub(crate) async fn cross_site(field: Field) -> Result<Findings> {
    let emit = format!("{}{CROSS_SITE}", bearer());
    let admin = format!("Authorization: Bearer {ADMIN_TOKEN}\r\n{CROSS_SITE}");
    let doors = [
        (
            "handshake",
            get("/socket.io/?EIO=4&transport=polling", CROSS_SITE),
        ),
        ("/emit", post("/emit", &emit, EVENT)),
        (
            "/notifications/emit",
            post("/notifications/emit", &emit, EVENT),
        ),
        (
            "/notifications/broadcast",
            post("/notifications/broadcast", &emit, EVENT),
        ),
        ("/admin/drain", get("/admin/drain", &admin)),
    ];
    let mut findings = try_all(&field, &doors).await;
    // Once, and last: what it does stays done.
    try_one(
        &field,
        "POST /admin/drain",
        &post("/admin/drain", &admin, ""),
        &mut findings,
    )
    .await;
    findings.at_most("served", findings.accepted, 0);
    Ok(findings)
}

/// Row 8: nobody has a token.
pub(crate) async fn open(field: Field) -> Result<Findings> {
    let page = "Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n";
    let doors = [
        ("/metrics", get("/metrics", "")),
        ("/metrics from a page", get("/metrics", page)),
        ("/emit", post("/emit", page, EVENT)),
        (
            "/notifications/emit",
            post("/notifications/emit", "", EVENT),
        ),
        (
            "/notifications/broadcast",
            post("/notifications/broadcast", "", EVENT),
        ),
        ("presence", get("/notifications/users/1", "")),
        ("/admin/drain", get("/admin/drain", "")),
        ("POST /admin/drain", post("/admin/drain", "", "")),
        (
            "POST /admin/drain from a page",
            post("/admin/drain", page, ""),
        ),
        (
            "a token that is everybody's",
            get(
                "/metrics",
                &format!("Authorization: Bearer {METRICS_TOKEN}\r\n"),
            ),
        ),
    ];
    let mut findings = try_all(&field, &doors).await;
    findings.at_most("served", findings.accepted, 0);
    Ok(findings)
}

/// Tries them all, until the attack is over.
async fn try_all(field: &Field, doors: &[(&str, String)]) -> Findings {
    let mut findings = Findings::default();
    while !field.is_over() {
        for (name, request) in doors {
            try_one(field, name, request, &mut findings).await;
        }
        field.rest(INTERVAL).await;
    }
    findings
}

async fn try_one(field: &Field, name: &str, request: &str, findings: &mut Findings) {
    match field.ask(request).await {
        Ok(response) if response.status < 300 => {
            findings.accepted += 1;
            let note = format!("{name}: {}", response.status);
            if !findings.notes.contains(&note) {
                findings.note(note);
            }
        }
        Ok(_) => findings.refused += 1,
        Err(error) => {
            let note = format!("{name}: {error:#}");
            if !findings.notes.contains(&note) {
                findings.note(note);
            }
        }
    }
}
