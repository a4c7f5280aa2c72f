//! What is remembered of what was trimmed from the stream.

use hd_replay::{EVERYONE_KEY, Offset, Place, Trimmed, room_key};
use redis::RedisError;
use redis::aio::MultiplexedConnection;

use crate::SharedLog;
use crate::error::is_of_connection;

impl SharedLog {
    /// Adds to what is missing before a place what was trimmed there.
    ///
    /// The place was read before: what is trimmed from then on is after it, or is
    /// remembered. What was trimmed after it is not missing, for the entries after it
    /// are read, so that it counts as if it were there.
    pub(crate) async fn complete(
        &self,
        connection: &mut MultiplexedConnection,
        began: Place,
        trimmed: &mut Trimmed,
    ) -> Result<(), RedisError> {
        let began = began.offset;
        if trimmed.floor() >= began {
            return Ok(());
        }
        match self.remembered(connection).await {
            Ok(memory) => memory.add_to(trimmed, began),
            Err(error) if is_of_connection(&error) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "Redis has something else instead of what was trimmed");
                *trimmed = Trimmed::all_up_to(began);
            }
        }
        Ok(())
    }

    async fn remembered(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Memory, RedisError> {
        let config = &self.0.config;
        let mut asking = redis::pipe();
        asking.cmd("HGETALL").arg(config.trimmed_key());
        asking.cmd("HMGET").arg(config.tail_key());
        asking.arg("up-to").arg("floor");
        let (rooms, [up_to, floor]): (Vec<(Vec<u8>, Vec<u8>)>, [Option<Vec<u8>>; 2]) =
            asking.query_async(connection).await?;
        let offset = |text: Option<Vec<u8>>| text.as_deref().and_then(offset);
        Ok(Memory {
            rooms,
            up_to: offset(up_to),
            floor: offset(floor).unwrap_or_default(),
        })
    }
}

/// As it is in Redis.
#[derive(Debug)]
struct Memory {
    /// The latest offset of each room.
    rooms: Vec<(Vec<u8>, Vec<u8>)>,
    /// The last entry that was trimmed and is remembered.
    up_to: Option<Offset>,
    /// Up to here it is not known for which rooms the entries were.
    floor: Offset,
}

impl Memory {
    fn add_to(&self, trimmed: &mut Trimmed, began: Offset) {
        // Something else has trimmed it, or it is another log, if that is later.
        if self.up_to < Some(began) {
            *trimmed = Trimmed::all_up_to(began);
            return;
        }
        let rooms = self.rooms.iter().filter_map(|(room, latest)| {
            let key = match str::from_utf8(room).ok()? {
                "" => EVERYONE_KEY,
                room => room_key(room),
            };
            Some((key, offset(latest)?.min(began)))
        });
        trimmed.merge(self.floor.min(began), rooms);
    }
}

fn offset(text: &[u8]) -> Option<Offset> {
    str::from_utf8(text).ok()?.parse().ok()
}
