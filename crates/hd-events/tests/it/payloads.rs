//! The payloads of the known events as JSON.

use hd_events::{NewNotification, TicketClosed, TicketData, TicketOverdue};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[track_caller]
fn check<T: Serialize + DeserializeOwned>(json: &str) {
    let payload: T = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&payload).unwrap(), json);
}

#[test]
fn payloads_are_those_of_the_contract() {
    let fecha = "2026-11-24T04:06:00.000Z";
    check::<NewNotification>(&format!(
        r#"{{"id":1,"mensaje":"Señal","ticketId":7,"fecha":"{fecha}"}}"#
    ));
    check::<NewNotification>(&format!(
        r#"{{"mensaje":"m","ticketId":7,"fecha":"{fecha}"}}"#
    ));
    check::<TicketClosed>(&format!(
        r#"{{"id":1,"mensaje":"m","ticketId":7,"fecha":"{fecha}"}}"#
    ));
    check::<TicketOverdue>(r#"{"ticketId":7}"#);
    check::<TicketOverdue>(&format!(
        r#"{{"id":1,"ticketId":7,"mensaje":"m","fecha":"{fecha}"}}"#
    ));
    check::<TicketData>(r#"{"ticketId":7}"#);
    check::<TicketData>(r#"{"ticketId":7,"estado":"abierto","prioridad":{"id":1}}"#);
}

#[test]
fn what_must_be_there_is_required() {
    assert!(serde_json::from_str::<NewNotification>(r#"{"mensaje":"m","ticketId":7}"#).is_err());
    assert!(serde_json::from_str::<TicketClosed>(r#"{"ticketId":7,"fecha":"f"}"#).is_err());
    assert!(serde_json::from_str::<TicketOverdue>(r#"{"mensaje":"m"}"#).is_err());
    assert!(serde_json::from_str::<TicketData>(r#"{"estado":"abierto"}"#).is_err());
}
