//! Which worker stores an origin at the moment.

use std::time::Duration;

use crate::connection::{Redis, RedisError};
use crate::keys::Keys;

/// A worker that was killed holds an origin up for so long.
const HELD_FOR: Duration = Duration::from_secs(20);

/// A script that a server which is out of memory runs, too: workers are what makes room.
const ALSO_WITHOUT_MEMORY: &str = "#!lua flags=allow-oom\n";

/// Takes the lease if nobody has it. One that would not end in time, no worker has made: it would hold the origin up for ever.
const TAKE: &str = match cfg!(trailseal_fault = "lease_without_end_held") {
    true => "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])",
    false => {
        "local left = redis.call('PTTL', KEYS[1]) \
        if left == -1 or left > tonumber(ARGV[2]) then redis.call('DEL', KEYS[1]) end \
        return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])"
    }
};

/// Does something only if the lease is still held: the first key is the lease, the first argument who holds it.
const IF_HELD: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end ";

/// A lease, by a name that no other has.
pub(super) struct Lease {
    pub(super) key: String,
    pub(super) holder: String,
}

impl Lease {
    /// Takes the lease, unless another worker holds it.
    pub(super) fn take(redis: &mut Redis, keys: &Keys) -> Result<Option<Lease>, RedisError> {
        let mut random = [0; 16];
        // Without randomness two workers might hold it at once, which does no harm.
        let _ = getrandom::fill(&mut random);
        let holder = random.map(|byte| format!("{byte:02x}")).concat();
        let mut asked = redis::pipe();
        let script = format!("{ALSO_WITHOUT_MEMORY}{TAKE}");
        asked.cmd("EVAL").arg(script).arg(1).arg(&keys.lease).arg(&holder).arg(HELD_FOR.as_millis() as u64);
        let (taken,): (Option<String>,) = redis.ask("take a lease at", &asked)?;
        Ok(taken.map(|_| Lease { key: keys.lease.clone(), holder }))
    }

    /// Has a script done if the lease is still held, which it then is for a while longer; whether it was done. In the script, the
    /// first key and the first argument are the lease's.
    pub(super) fn if_held(
        &self,
        redis: &mut Redis,
        doing: &'static str,
        script: &str,
        keys: &[&str],
        arguments: &[Vec<u8>],
    ) -> Result<bool, RedisError> {
        let longer = format!("redis.call('PEXPIRE', KEYS[1], {}) ", HELD_FOR.as_millis());
        let script = format!("{ALSO_WITHOUT_MEMORY}{IF_HELD}{longer}{script} return 1");
        let mut asked = redis::pipe();
        asked.cmd("EVAL").arg(script).arg(1 + keys.len()).arg(&self.key).arg(keys);
        asked.arg(&self.holder).arg(arguments);
        let (done,): (u8,) = redis.ask(doing, &asked)?;
        Ok(done == 1)
    }

    /// Gives it back, so that nobody has to wait for its end.
    pub(super) fn give_back(self, redis: &mut Redis) -> Result<(), RedisError> {
        self.if_held(redis, "give a lease back at", "redis.call('DEL', KEYS[1])", &[], &[]).map(drop)
    }
}
