//! Reads of keys that another program may have made large. The server leaves out what is larger than anything that a trail or a
//! worker writes, so that no process takes it into its memory.

use redis::Pipeline;
use trailseal_event::line::LINE_BYTES_MAX;

use crate::keys::ORIGINS;

/// A line and the other fields of its entry, a note, or a text in a report.
const BYTES_MAX: usize = match cfg!(trailseal_fault = "stream_value_of_any_size_read") {
    true => usize::MAX >> 1,
    false => LINE_BYTES_MAX + 1024,
};
/// The bytes of an origin.
const ORIGIN_BYTES_MAX: usize = 255;

/// An entry that no trail has written comes without its fields.
const ENTRIES: &str = "local entries = redis.call(ARGV[1], KEYS[1], ARGV[2], ARGV[3], 'COUNT', ARGV[4]) \
    for _, entry in ipairs(entries) do \
    local bytes = 0 \
    for _, text in ipairs(entry[2]) do bytes = bytes + #text end \
    if bytes > tonumber(ARGV[5]) or #entry[2] > 6 then entry[2] = {} end end \
    return entries";

const FIELDS: &str = "local found = {} \
    for place = 2, #ARGV do \
    local value = redis.call('HSTRLEN', KEYS[1], ARGV[place]) <= tonumber(ARGV[1]) \
    and redis.call('HGET', KEYS[1], ARGV[place]) \
    if value then found[#found + 1] = ARGV[place] found[#found + 1] = value end end \
    return found";

const SIZES: &str = "local found = {} \
    for _, size in ipairs(redis.call('HKEYS', KEYS[1])) do \
    if #size <= 20 then found[#found + 1] = size end end \
    return found";

/// What is no checkpoint would never be dropped otherwise: this removes it. Room is made also where no memory is left.
const CHECKPOINTS: &str = "#!lua flags=allow-oom\n local sizes, found = {}, {} \
    for _, size in ipairs(redis.call('HKEYS', KEYS[1])) do \
    if #size <= 20 and redis.call('HSTRLEN', KEYS[1], size) <= tonumber(ARGV[1]) then sizes[#sizes + 1] = size \
    else redis.call('HDEL', KEYS[1], size) end end \
    table.sort(sizes, function(a, b) if #a ~= #b then return #a < #b end return a < b end) \
    for place = 1, math.min(#sizes, tonumber(ARGV[2])) do \
    found[#found + 1] = sizes[place] found[#found + 1] = redis.call('HGET', KEYS[1], sizes[place]) end \
    return found";

const NAMES: &str = "#!lua flags=allow-oom\n local found = {} \
    for _, origin in ipairs(redis.call('SMEMBERS', KEYS[1])) do \
    if #origin <= tonumber(ARGV[1]) then found[#found + 1] = origin \
    else redis.call('SREM', KEYS[1], origin) end end \
    return found";

/// Asks for entries of a stream: `command` is XRANGE or XREVRANGE.
pub(crate) fn entries(asked: &mut Pipeline, command: &str, key: &str, range: [&str; 2], count: usize) {
    asked.cmd("EVAL").arg(ENTRIES).arg(1).arg(key).arg(command).arg(&range).arg(count).arg(BYTES_MAX);
}

/// Asks for these fields of a hash.
pub(crate) fn fields(asked: &mut Pipeline, key: &str, names: &[&str]) {
    asked.cmd("EVAL").arg(FIELDS).arg(1).arg(key).arg(BYTES_MAX).arg(names);
}

/// Asks for the sizes of the checkpoints that wait.
pub(crate) fn checkpoint_sizes(asked: &mut Pipeline, key: &str) {
    asked.cmd("EVAL").arg(SIZES).arg(1).arg(key);
}

/// Asks for the smallest of the checkpoints that wait, so many.
pub(crate) fn checkpoints(asked: &mut Pipeline, key: &str, count: usize) {
    asked.cmd("EVAL").arg(CHECKPOINTS).arg(1).arg(key).arg(BYTES_MAX).arg(count);
}

/// Asks for the origins for which there is something to do.
pub(crate) fn origins(asked: &mut Pipeline) {
    asked.cmd("EVAL").arg(NAMES).arg(1).arg(ORIGINS).arg(ORIGIN_BYTES_MAX);
}
