//! Times as PostgreSQL sends and takes them in its binary form: microseconds since 2000.

use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};
use trailseal_event::Timestamp;

/// 2000-01-01T00:00:00Z.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// 4713 BC: PostgreSQL has no times before. Those at its other end are beyond what microseconds since 1970 can say.
const MICROS_MIN: i64 = -210_866_803_200_000_000;

/// A time that PostgreSQL can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(i64);

impl Moment {
    /// Before all of them.
    pub(crate) const FIRST: Moment = Moment(MICROS_MIN);

    /// The nearest one. No event is outside: lines have times from the year 0 to 9999.
    pub(crate) fn of(time: Timestamp) -> Moment {
        Moment(time.as_micros().max(MICROS_MIN))
    }

    pub(crate) fn time(self) -> Timestamp {
        Timestamp::from_micros(self.0)
    }
}

impl ToSql for Moment {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.0 - EPOCH_MICROS);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Moment {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        // The two infinite ones become the first and the last.
        Ok(Moment(micros.saturating_add(EPOCH_MICROS).max(MICROS_MIN)))
    }

    accepts!(TIMESTAMPTZ);
}
