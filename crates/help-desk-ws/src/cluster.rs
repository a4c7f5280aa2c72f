//! The log that several processes share: what this one appends to it, and what
//! it reads from it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hd_cluster::{AppendError, Appended, Followed, Offset, OpenError, Record, SharedLog, Status};
use hd_rooms::{Audience, RoomName};
use hd_ws_server::{Emitted, Namespace, Publication};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use socketio_proto::{EventName, OutgoingArgs};
use tokio::sync::Notify;

use crate::telemetry::events::{LogBack, LogCutOff, LogGap, LogOpened, WaitingForLog};

/// This process in its cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    log: SharedLog,
    notifications: Namespace,
    delivered: Delivered,
}

/// To how many sockets of this process the latest events went.
#[derive(Debug, Default)]
struct Delivered {
    latest: Mutex<VecDeque<(Offset, usize)>>,
    changed: Notify,
}

/// An event in the log.
#[derive(Deserialize, Serialize)]
struct SharedEvent<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
    /// None for everyone.
    #[serde(borrow, default)]
    rooms: Vec<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    except: Vec<Cow<'a, str>>,
    /// In milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
}

impl Cluster {
    pub(crate) fn new(log: SharedLog, notifications: Namespace) -> Self {
        Self {
            log,
            notifications,
            delivered: Delivered::default(),
        }
    }

    /// Whether what is appended reaches this process.
    pub(crate) fn is_following(&self) -> bool {
        self.log.status() == Status::Following
    }

    /// Appends an event. It is on its way to every process then.
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    pub(crate) async fn publish(
        &self,
        audience: &Audience,
        event: &str,
        payload: &RawValue,
        ttl: Option<Duration>,
        id: Option<&str>,
    ) -> Result<Appended, AppendError> {
        let names = |rooms: &'_ [RoomName]| -> Vec<Cow<'static, str>> {
            rooms.iter().map(|room| room.to_string().into()).collect()
        };
        let event = SharedEvent {
            event: event.into(),
            payload,
            rooms: names(audience.to_rooms()),
            except: names(audience.except_rooms()),
            ttl: ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        };
        let record = serde_json::to_vec(&event).expect("invariant: text and numbers are JSON");
        // Some 2 kB, which every request would have to have room for.
        Box::pin(self.log.append(id, &record)).await
    }

    /// To how many sockets of this process an event went. It is here in a
    /// moment, unless this process is cut off.
    pub(crate) async fn delivered(&self, offset: Offset) -> usize {
        let wait = self.delivered.wait(offset);
        tokio::time::timeout(DELIVERY_PATIENCE, wait)
            .await
            .unwrap_or_default()
    }

    /// Takes over what is in the log, once Redis answers. Returns where it ends.
    ///
    /// # Errors
    ///
    /// Redis has something else in its place.
    pub(crate) async fn open(&self) -> anyhow::Result<Offset> {
        let began = Instant::now();
        let mut told_at = None;
        let snapshot = loop {
            match self.log.open().await {
                Ok(snapshot) => break snapshot,
                Err(error @ OpenError::NotALog(_)) => return Err(error.into()),
                Err(error @ OpenError::Unavailable(_)) => {
                    if told_at.is_none_or(|at: Instant| at.elapsed() > REMIND) {
                        told_at = Some(Instant::now());
                        let elapsed = began.elapsed();
                        WaitingForLog {
                            error: &error,
                            elapsed,
                        }
                        .emit();
                    }
                    tokio::time::sleep(OPEN_PAUSE).await;
                }
            }
        };
        let events = snapshot.records.len();
        LogOpened { events }.emit();
        self.notifications.begin_log_at(snapshot.began);
        let mut last = snapshot.began;
        for record in snapshot.records {
            last = record.offset;
            // Nobody is here yet.
            drop(self.publish_record(&record));
        }
        Ok(last)
    }

    /// Brings to this process' clients what is appended, for ever.
    pub(crate) async fn follow(self: Arc<Self>, after: Offset) {
        let log = self.log.clone();
        log.follow(after, |followed| self.take(followed)).await;
    }

    async fn take(&self, followed: Followed) {
        match followed {
            Followed::Records(records) => {
                let mut under_way = Vec::with_capacity(records.len());
                for record in &records {
                    under_way.push((record.offset, self.publish_record(record)));
                }
                for (offset, emitted) in under_way {
                    let sockets = match emitted {
                        Some(emitted) => emitted.await,
                        None => 0,
                    };
                    self.delivered.note(offset, sockets);
                }
            }
            Followed::Gap(began) => {
                let sockets = self.notifications.len();
                LogGap { sockets }.emit();
                self.notifications.begin_log_at(began);
                // They come back, and are told.
                self.notifications.close_transports(&Audience::everyone());
            }
            Followed::CutOff => LogCutOff.emit(),
            Followed::Back => LogBack.emit(),
        }
    }

    /// `None` when the record is not understood.
    fn publish_record(&self, record: &Record) -> Option<Emitted> {
        let emitted = self.parse_and_publish(record);
        if emitted.is_none() {
            tracing::error!(offset = %record.offset, "an event of the shared log is not understood");
        }
        emitted
    }

    fn parse_and_publish(&self, record: &Record) -> Option<Emitted> {
        let event: SharedEvent<'_> = serde_json::from_slice(&record.bytes).ok()?;
        let mut audience = Audience::everyone();
        for room in &event.rooms {
            audience = audience.to(RoomName::new(room).ok()?);
        }
        for room in &event.except {
            audience = audience.except(RoomName::new(room).ok()?);
        }
        let args = [event.payload];
        let publication = Publication {
            audience: &audience,
            name: EventName::new(&event.event).ok()?,
            args: OutgoingArgs::new(&args),
            ttl: event.ttl.map(Duration::from_millis),
            id: None,
        };
        Some(self.notifications.publish_at(record.offset, &publication))
    }
}

impl Delivered {
    fn note(&self, offset: Offset, sockets: usize) {
        let mut latest = self.lock();
        if latest.len() == LATEST {
            latest.pop_front();
        }
        latest.push_back((offset, sockets));
        drop(latest);
        self.changed.notify_waiters();
    }

    async fn wait(&self, offset: Offset) -> usize {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Before it is looked, so that nothing goes unnoticed.
            changed.as_mut().enable();
            if let Some(sockets) = self.find(offset) {
                return sockets;
            }
            changed.await;
        }
    }

    /// `None` when the event has not come yet; 0 for one that was too long ago.
    fn find(&self, offset: Offset) -> Option<usize> {
        let latest = self.lock();
        let place = latest.partition_point(|(other, _)| *other < offset);
        match latest.get(place) {
            Some((other, sockets)) if *other == offset => Some(*sockets),
            Some(_) => Some(0),
            None => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Offset, usize)>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From one look for Redis to the next.
const OPEN_PAUSE: Duration = Duration::from_millis(200);
/// From one line about it to the next.
const REMIND: Duration = Duration::from_secs(10);
/// How long an answer waits for a count.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(1);
/// Counts that are kept: of what is appended and read in a second.
const LATEST: usize = 4096;
