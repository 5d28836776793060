//! How far each trail has come in the store, and the newest checkpoint of it there.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};
use trailseal_event::{Index, Timestamp};

use crate::binary_time::Moment;

/// A trail in the store, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTrail {
    /// Its name.
    pub origin: String,
    /// All its events below this index are there.
    pub next: Index,
    /// When the last of them came, by the server's clock.
    pub moved: Timestamp,
    /// Size and text of the newest checkpoint there. Nothing here has verified it.
    pub checkpoint: Option<(u64, String)>,
}

pub(super) async fn trails(client: &Client) -> Result<Vec<StoredTrail>, Error> {
    const TRAILS: &str = "SELECT known.origin, next, moved, size, note FROM trailseal.cursors AS known \
        LEFT JOIN LATERAL (SELECT size, note FROM trailseal.checkpoints \
            WHERE origin = known.origin ORDER BY size DESC LIMIT 1) AS newest ON true ORDER BY known.origin";
    let one = |row: &Row| -> Result<StoredTrail, Error> {
        let size: Option<i64> = row.try_get(3)?;
        let note = row.try_get::<_, Option<Vec<u8>>>(4)?.map(text);
        Ok(StoredTrail {
            origin: row.try_get(0)?,
            next: Index::new(row.try_get::<_, i64>(1)?.unsigned_abs()),
            moved: row.try_get::<_, Moment>(2)?.time(),
            checkpoint: size.map(i64::unsigned_abs).zip(note),
        })
    };
    client.query_typed(TRAILS, &[]).await?.iter().map(one).collect()
}

pub(super) async fn newest(client: &Client, origin: &str) -> Result<Option<String>, Error> {
    const NEWEST: &str =
        "SELECT note FROM trailseal.checkpoints WHERE origin = $1 ORDER BY size DESC LIMIT 1";
    let rows = client.query_typed(NEWEST, &[(&origin, Type::TEXT)]).await?;
    rows.first().map(|row| row.try_get(0).map(text)).transpose()
}

/// A signed note is UTF-8; another is forged, and then no reader accepts it.
fn text(note: Vec<u8>) -> String {
    String::from_utf8_lossy(&note).into_owned()
}
