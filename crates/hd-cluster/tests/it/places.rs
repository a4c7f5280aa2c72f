use std::str::FromStr as _;

use hd_cluster::{
    AppendError, Appended, ClusterConfig, Followed, Observer, Publish, RedisUrl, SharedLog, Source,
};

use crate::redis_server::RedisServer;
use crate::snapshot::Whole as _;

#[test]
fn what_is_no_url_is_refused_without_showing_it() {
    for url in [
        "",
        "x",
        "http://user:hunter2@host",
        "redis://:hunter2@host:port",
        "redis+sentinel://:hunter2@host:26379",
        "redis+sentinel://:hunter2@host:26379/",
        "redis+sentinel://:hunter2@host:port/main",
        "redis+sentinel://:hunter2@host:26379/main/db",
        "redis+cluster://",
        "redis+cluster://:hunter2@",
        "redis+cluster://:hunter2@host:port",
        "redis+cluster://:hunter2@host:6379/0",
        "redis+cluster://:hunter2@a:6379,,b",
    ] {
        let refused = RedisUrl::from_str(url).expect_err(url);
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }
}

#[test]
fn every_form_is_taken_and_none_shown() {
    for url in [
        "redis://host",
        "redis://user:hunter2@host:6379/3",
        "rediss://:hunter2@host:6380",
        "redis+unix:///run/redis.sock",
        "redis+sentinel://user:hunter2@a:26379,b:26379,c/main/3",
        "rediss+sentinel://a:26379/main",
        "redis+cluster://user:hunter2@a:6379,b:6379,c",
        "rediss+cluster://[::1]:6379",
    ] {
        let taken = RedisUrl::from_str(url).expect(url);
        assert!(!format!("{taken:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_password_is_given() {
    let redis = RedisServer::start();
    redis.command(&["CONFIG", "SET", "requirepass", "hunter2"]);
    let refused = redis.log().append(None, b"x").await;
    assert!(
        matches!(refused, Err(AppendError::Refused(_))),
        "{refused:?}"
    );
    let url = format!("redis://:hunter2@{}", redis.address());
    let config = ClusterConfig::new(url.parse().unwrap());
    let appended = SharedLog::new(config).append(None, b"x").await;
    assert!(matches!(appended, Ok(Appended::New(_))), "{appended:?}");
}

#[tokio::test]
async fn an_acl_user_needs_what_the_guide_says() {
    let guide = include_str!("../../../../docs/operator.md");
    let (_, rights) = guide
        .split_once("An ACL user needs\n`")
        .expect("the guide has it");
    let (rights, _) = rights.split_once('`').expect("its end");
    let redis = RedisServer::start();
    let user: Vec<&str> = [
        "ACL",
        "SETUSER",
        "help-desk",
        "on",
        ">hunter2",
        "resetchannels",
    ]
    .into_iter()
    .chain(rights.split(' '))
    .collect();
    assert_eq!(redis.command(&user), "OK\n");
    let url = format!("redis://help-desk:hunter2@{}", redis.address());
    let log = SharedLog::new(ClusterConfig::new(url.parse().unwrap()));
    let place = log.open().await.unwrap().end;
    log.append(Some("a"), b"one").await.unwrap();
    let (observer, source) = (
        Observer::default(),
        Source {
            publish: Publish::Sharded,
            channel: "a",
            since: 0,
        },
    );
    log.append_observed(&observer, source, b"two")
        .await
        .unwrap();
    let (sender, mut records) = tokio::sync::mpsc::unbounded_channel();
    let following = log.follow(place, |followed| {
        sender.send(followed).expect("the test listens");
        std::future::ready(())
    });
    tokio::select! {
        () = following => {}
        followed = records.recv() => {
            assert!(matches!(followed, Some(Followed::Records(_))), "{followed:?}");
        }
    }
}
