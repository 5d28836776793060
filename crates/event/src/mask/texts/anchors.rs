//! The anchors of all forms, in tables for the pass over a whole event, and how a candidate is judged.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::card_numbers;
use super::simd::{self, BUCKETS, SLOTS, Set, Tables};
use super::token_prefixes::{Class, Form, KEY_ENDS, RARE_KEY_ENDS, RULES, Rule, Special, key_start};
use crate::counted_steps;
use crate::mask::names::secret_names::{BEARER_FLAG, Keys, USER_FLAGS};

/// The number of the rule for `key=value`, which has no literal.
pub(super) const KEY_VALUE: u16 = u16::MAX;
/// The number for `--password value`, where only the hyphens and a letter are known.
pub(in crate::mask) const FLAG: u16 = u16::MAX - 3;
/// The number for `-pvalue` after some commands.
pub(in crate::mask) const SHORT_FLAG: u16 = u16::MAX - 4;
/// The number for a string that may hold JSON after blanks.
const BLANKS: u16 = u16::MAX - 1;
/// The number for an escape that ends with digits, which a card in groups may follow.
const ESCAPE: u16 = u16::MAX - 2;
/// Strings that begin with a blank and may hold JSON: an escaped one, two, one and a bracket, a byte order mark.
pub(super) const BLANK_STARTS: [[u8; 3]; 9] =
    [*b"\"\\n", *b"\"\\t", *b"\"\\r", *b"\"  ", *b"\" {", *b"\" [", *b"\" \\", *b"\" \xEF", *b"\"\xEF\xBB"];

/// What may stand behind a key, in groups: together their half-bytes would let letters pass, too.
const SEPARATORS: [&[u8]; 5] = [b"=:>", b"\\", b"'(", b"`", b"]"];
/// The letters of options that are checked.
const LETTERS: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";
/// Those of short ones that may hold a password.
const SHORT_FLAGS: &[u8; 7] = b"pPauUbw";
/// Longer authorities are not searched for a password.
const AUTHORITY_MAX: usize = 256;

/// Text like that of an event. Anchors are spread over the buckets so that few places of it pass.
const SAMPLE: &str = r#"{"v":1,"index":42,"recorded":"2026-11-21T04:00:00.123456Z","id":"018f3e1a-7c2b-7d4e-9f10-123456789abc","time":"2026-11-21T04:00:00.123456Z","tenant":"acme","category":"config_change","action":"user.role.change","description":"Role changed by an administrator","severity":"notice","outcome":"success","actor":{"id":"u-10432","type":"user","name":"Ada Example","roles":["admin"]},"resource":{"type":"user","id":"u-20117","name":"Bob Example"},"details":{"reason":"on call","ticket":"OPS-4711","approved":true,"attempt":1,"eventSource":"lambda.amazonaws.com","arn":"arn:aws:iam::123456789012:user/john.developer","requestParameters":{"functionName":"production-api"},"userIdentity":{"accountId":"123456789012","sessionContext":{"attributes":{"mfaAuthenticated":"true","creationDate":"2019-01-01"}}},"annotations":{"authorization.k8s.io/decision":"allow"},"objectRef":{"resource":"pods","namespace":"kube-system","apiVersion":"v1"}},"context":{"ip":"203.0.113.7","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","request_id":"req-7f3a9c","correlation_id":"c-550e8400e29b","service":"billing"},"duration_ms":12}"#;

/// Places of the sample, one bit each.
type Places = [u64; SAMPLE.len().div_ceil(64)];

/// The half-bytes possible at each of the three places of a bucket's anchors, one bit each.
#[derive(Clone, Copy)]
struct Bucket {
    low: [u16; 3],
    high: [u16; 3],
    /// Where in the sample such half-bytes are at that distance.
    low_at: [Places; 3],
    high_at: [Places; 3],
}

impl Bucket {
    const EMPTY: Bucket = Bucket { low: [0; 3], high: [0; 3], low_at: [[0; _]; 3], high_at: [[0; _]; 3] };

    /// With these bytes at each of the places.
    fn of(shape: [&[u8]; 3]) -> Bucket {
        let mut bucket = Bucket::EMPTY;
        for (place, bytes) in shape.into_iter().enumerate() {
            for byte in bytes {
                bucket.low[place] |= 1 << (byte & 0xF);
                bucket.high[place] |= 1 << (byte >> 4);
            }
            for (at, byte) in SAMPLE.bytes().skip(place).enumerate() {
                let (word, bit) = (at / 64, at % 64);
                bucket.low_at[place][word] |= u64::from(bucket.low[place] >> (byte & 0xF) & 1) << bit;
                bucket.high_at[place][word] |= u64::from(bucket.high[place] >> (byte >> 4) & 1) << bit;
            }
        }
        bucket
    }

    /// With what either has.
    fn or(mut self, other: &Bucket) -> Bucket {
        for place in 0..3 {
            self.low[place] |= other.low[place];
            self.high[place] |= other.high[place];
            let pairs = [
                (&mut self.low_at[place], &other.low_at[place]),
                (&mut self.high_at[place], &other.high_at[place]),
            ];
            for (mine, theirs) in pairs {
                mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine |= theirs);
            }
        }
        self
    }

    /// How many places of the sample it lets pass.
    fn passing(&self) -> u32 {
        let at = |word: usize| {
            (0..3).fold(u64::MAX, |all, place| all & self.low_at[place][word] & self.high_at[place][word])
        };
        (0..self.low_at[0].len()).map(|word| at(word).count_ones()).sum()
    }
}

/// The buckets while they are filled, each with how many places of the sample it lets pass. Each shape goes where it adds
/// the fewest.
struct Buckets([(Bucket, u32); BUCKETS]);

impl Buckets {
    fn new() -> Buckets {
        Buckets([(Bucket::EMPTY, 0); BUCKETS])
    }

    fn add(&mut self, shape: [&[u8]; 3]) {
        let shape = Bucket::of(shape);
        let with = self.0.each_ref().map(|(bucket, _)| {
            let bucket = bucket.or(&shape);
            (bucket, bucket.passing())
        });
        let cost = |bucket: usize| (with[bucket].1 - self.0[bucket].1, bucket);
        let best = (0..BUCKETS).min_by_key(|&bucket| cost(bucket)).unwrap_or_default();
        self.0[best] = with[best];
    }

    fn sets(&self) -> [Set; 2] {
        let mut sets = [Set::default(); 2];
        for (number, (bucket, _)) in self.0.iter().enumerate() {
            let (set, bit) = (&mut sets[number / 8], 1 << (number % 8));
            for (place, half) in (0..3).flat_map(|place| (0..16).map(move |half| (place, half))) {
                set.low[place][half] |= if bucket.low[place] >> half & 1 != 0 { bit } else { 0 };
                set.high[place][half] |= if bucket.high[place] >> half & 1 != 0 { bit } else { 0 };
            }
        }
        sets
    }
}

/// Everything that finds anchors.
pub(in crate::mask) struct Finder {
    pub(in crate::mask) tables: Tables,
    /// For each hash of an anchor, the place of its rules in `lists`, plus one.
    slots: Box<[u16; SLOTS]>,
    lists: Vec<Vec<u16>>,
}

impl Finder {
    /// The one that all share.
    pub(in crate::mask) fn get() -> &'static Finder {
        static FINDER: LazyLock<Finder> = LazyLock::new(Finder::new);
        &FINDER
    }

    fn new() -> Finder {
        let mut finder = Finder {
            tables: Tables { sets: Default::default(), anchors: [0; SLOTS / 64] },
            slots: Box::new([0; SLOTS]),
            lists: Vec::new(),
        };
        let mut buckets = Buckets::new();
        finder.add_key_values(&mut buckets);
        finder.add_flags(&mut buckets);
        buckets.add([b"\"", b"{[", &every_byte()]);
        let rules = RULES.iter().enumerate().map(|(number, rule)| (anchor(rule), number as u16));
        let blanks = BLANK_STARTS.map(|anchor| (anchor, BLANKS));
        for (anchor, rule) in rules.chain(blanks).chain([(*b"\\u0", ESCAPE)]) {
            finder.add_rule(anchor, rule);
            buckets.add(anchor.each_ref().map(std::slice::from_ref));
        }
        finder.tables.sets = buckets.sets();
        finder
    }

    /// Hyphens that may precede an option's name.
    fn add_flags(&mut self, buckets: &mut Buckets) {
        let both = [LETTERS.as_slice(), &LETTERS.to_ascii_uppercase()].concat();
        buckets.add([b"-", b"-", &both]);
        buckets.add([b" ", b"-", SHORT_FLAGS]);
        for letter in LETTERS {
            self.add_rule([b'-', b'-', *letter], FLAG);
        }
        for letter in SHORT_FLAGS {
            self.add_rule([b' ', b'-', *letter], SHORT_FLAG);
        }
    }

    /// The ends of keys with what may follow: `rd=`, `rd:`, `rd>`, `rd(`, `rd"` (`rd\` if that, or a tab, is escaped),
    /// `d =`, `d '`, `d':`.
    fn add_key_values(&mut self, buckets: &mut Buckets) {
        let either = |letter: &u8| [*letter, letter.to_ascii_uppercase()];
        for [before, last] in KEY_ENDS {
            for ends in SEPARATORS {
                buckets.add([&either(before), &either(last), ends]);
            }
            for end in *b"=:\"\\'>(`]\t" {
                self.add_rule([*before, *last, end], KEY_VALUE);
            }
        }
        for [before, last] in RARE_KEY_ENDS {
            for ends in &SEPARATORS[..2] {
                buckets.add([&either(before), &either(last), ends]);
            }
            for end in *b"=:\"\\" {
                self.add_rule([*before, *last, end], KEY_VALUE);
            }
        }
        let lasts: BTreeSet<u8> = KEY_ENDS.iter().map(|[_, last]| *last).collect();
        for last in lasts {
            for ends in SEPARATORS {
                buckets.add([&either(&last), b"0123456789", ends]);
            }
            for ends in [&b"=:"[..], b"'$", b"\\"] {
                buckets.add([&either(&last), b" ", ends]);
            }
            for end in *b"=:'$\\\"\t" {
                self.add_rule([last, b' ', end], KEY_VALUE);
            }
            for end in *b"=: \t" {
                self.add_rule([last, b'\t', end], KEY_VALUE);
            }
            for (digit, end) in (b'0'..=b'9').flat_map(|digit| b"=:\"\\'>(`\t".map(|end| (digit, end))) {
                self.add_rule([last, digit, end], KEY_VALUE);
            }
        }
        // No colon after two digits: every time has that.
        buckets.add([b"0123456789", b"0123456789 ", b"="]);
        for digit in b'0'..=b'9' {
            self.add_rule([digit, b' ', b'='], KEY_VALUE);
            for (other, end) in (b'0'..=b'9').flat_map(|other| b"=\"".map(|end| (other, end))) {
                self.add_rule([digit, other, end], KEY_VALUE);
            }
        }
    }

    fn add_rule(&mut self, anchor: [u8; 3], rule: u16) {
        let slot = simd::slot(anchor);
        // In an event's text, a quote after a key ends a JSON key, which is checked elsewhere. A tab is escaped there.
        if !(rule == KEY_VALUE && (matches!(anchor[2], b'"' | b'\t') || anchor[1] == b'\t')) {
            self.tables.anchors[slot / 64] |= 1 << (slot % 64);
        }
        if self.slots[slot] == 0 {
            self.lists.push(Vec::new());
            self.slots[slot] = self.lists.len() as u16;
        }
        let list = &mut self.lists[usize::from(self.slots[slot]) - 1];
        if !list.contains(&rule) {
            list.push(rule);
        }
    }

    /// The rules whose anchor has the same hash as these three bytes.
    pub(in crate::mask) fn rules_at(&self, bytes: &[u8]) -> &[u16] {
        let Some(bytes) = bytes.first_chunk::<3>() else { return &[] };
        match self.slots[simd::slot(*bytes)] {
            0 => &[],
            list => &self.lists[usize::from(list) - 1],
        }
    }

    /// Whether the anchor at `at` of an event's text justifies searching its string. Refuses only what no form can be,
    /// even with escaped characters.
    pub(in crate::mask) fn is_worth_a_look(&self, text: &[u8], at: usize, keys: &Keys) -> bool {
        self.rules_at(&text[at..]).iter().any(|&number| match number {
            KEY_VALUE => ends_secret_key(text, at, keys),
            // See `begins_json`.
            BLANKS => false,
            ESCAPE => has_groups(&text[at..]),
            FLAG => names_secret(text, at + 2, keys),
            SHORT_FLAG => true,
            number => could_be(text, at, &RULES[usize::from(number)]),
        })
    }
}

fn every_byte() -> Vec<u8> {
    (0..=u8::MAX).collect()
}

fn anchor(rule: &Rule) -> [u8; 3] {
    let bytes = rule.literal.as_bytes();
    [bytes[rule.anchor], bytes[rule.anchor + 1], bytes[rule.anchor + 2]]
}

fn ends_secret_key(text: &[u8], at: usize, keys: &Keys) -> bool {
    // A quote here ends a JSON string, since one inside it is escaped.
    if text[at + 2] == b'"' {
        return false;
    }
    let end = if text[at + 1] == b' ' { at + 1 } else { at + 2 };
    let start = key_start(text, end);
    // What precedes it may be the letter of an escape, which is then taken for the beginning of the key.
    std::str::from_utf8(&text[start..end]).is_ok_and(|key| keys.find(key).is_some())
        || (start > 0 && text[start - 1] == b'\\' && start + 1 < end)
}

fn could_be(text: &[u8], at: usize, rule: &Rule) -> bool {
    let Some(start) = at.checked_sub(rule.anchor) else { return false };
    let after = start + rule.literal.len();
    if !text[start..].starts_with(rule.literal.as_bytes()) {
        return false;
    }
    let before = start.checked_sub(1).map_or(b' ', |place| text[place]);
    match rule.form {
        Form::Body(class, min, _) | Form::Mixed(class, min, _) => has_run(text, after, class, min),
        Form::Special(special) => match special {
            Special::Url => may_have_password(&text[after..]),
            Special::Jwt => has_run(text, start, Class::Base64, 10),
            Special::OpenAi => has_run(text, after, Class::Word, 32),
            Special::Mailchimp => Class::Hex.holds(before),
            Special::Telegram => before.is_ascii_digit(),
            Special::QueryValue => matches!(before, b'?' | b'&'),
            Special::Signature => matches!(before, b'?' | b'&' | b'-'),
            Special::Basic => has_run(text, after, Class::Base64, 8),
            Special::Bearer => matches!(before, b'b' | b'B'),
            _ => true,
        },
    }
}

/// Whether a word that names a secret begins here.
fn names_secret(text: &[u8], start: usize, keys: &Keys) -> bool {
    let len = text.iter().skip(start).take(64).take_while(|byte| Class::Word.holds(**byte)).count();
    counted_steps::count(len + 1);
    std::str::from_utf8(&text[start..start + len])
        .is_ok_and(|key| USER_FLAGS.contains(&key) || key == BEARER_FLAG || keys.find(key).is_some())
}

/// Whether at least this many bytes of a class are here.
fn has_run(text: &[u8], start: usize, class: Class, len: usize) -> bool {
    let run = text.iter().skip(start).take(len).take_while(|byte| class.holds(**byte)).count();
    counted_steps::count(run + 1);
    run == len
}

/// Whether a URL may have a password: a user with one before a host, or something after a colon that is not a port. A
/// backslash may begin an escape that stands for anything.
fn may_have_password(text: &[u8]) -> bool {
    let mut colon = None;
    for (place, byte) in text.iter().enumerate().take(AUTHORITY_MAX) {
        counted_steps::count(1);
        match byte {
            b'@' => return true,
            b'\\' => return colon.is_some(),
            b'"' | b' ' => return false,
            b'/' | b'?' | b'#' | b'\'' | b'<' | b'>' | b'`' => {
                return colon.is_some_and(|colon: usize| {
                    let port = &text[colon + 1..place];
                    colon == 0 || port.is_empty() || port.len() > 5 || !port.iter().all(u8::is_ascii_digit)
                });
            }
            b':' => colon = colon.or(Some(place)),
            _ => {}
        }
    }
    text.len() > AUTHORITY_MAX && colon.is_some()
}

/// Whether a string of JSON text begins here that holds JSON itself.
pub(in crate::mask) fn begins_json(text: &[u8], at: usize) -> bool {
    let Some((b'"', mut rest)) = text.get(at..).and_then(<[u8]>::split_first) else { return false };
    loop {
        rest = match rest {
            [b' ', rest @ ..] | [b'\\', b'n' | b't' | b'r', rest @ ..] | [0xEF, 0xBB, 0xBF, rest @ ..] => {
                rest
            }
            _ => return matches!(rest, [b'{' | b'[', ..]),
        };
    }
}

/// Whether groups of digits follow the escape of a character. To the pass over the text, its own digits and the first
/// group are one.
fn has_groups(text: &[u8]) -> bool {
    let escape = b"\\u0000".len();
    has_run(text, escape, Class::Hex, 4) && has_run(text, escape + 5, Class::Hex, 4)
}

/// Whether there is a card at the first of these digits.
pub(in crate::mask) fn card_in(text: &[u8], at: usize) -> bool {
    let before = text[..at]
        .iter()
        .rev()
        .take(card_numbers::DIGITS_MAX)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    // An escape before it, such as that of a control character, may hide an edge.
    let is_escaped = text[..at - before].iter().rev().take(6).any(|byte| *byte == b'\\');
    card_numbers::find(text, at - before).is_some() || is_escaped
}

/// The string around `at` in JSON text, without its quotes; or the text between two strings.
pub(in crate::mask) fn string_around(text: &[u8], at: usize) -> std::ops::Range<usize> {
    let (mut start, mut from) = (0, at);
    while let Some(quote) = memchr::memrchr(b'"', &text[..from]) {
        if !is_escaped(text, quote) {
            start = quote + 1;
            break;
        }
        from = quote;
    }
    counted_steps::count(at - start);
    start..string_end(text, at)
}

/// Where the string ends that `from` is in.
pub(in crate::mask) fn string_end(text: &[u8], from: usize) -> usize {
    let mut end = from;
    while let Some(quote) = memchr::memchr(b'"', &text[end..]) {
        end += quote;
        if !is_escaped(text, end) {
            counted_steps::count(end - from);
            return end;
        }
        end += 1;
    }
    counted_steps::count(text.len().saturating_sub(from));
    text.len()
}

fn is_escaped(text: &[u8], at: usize) -> bool {
    let backslashes = text[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
    counted_steps::count(backslashes + 1);
    backslashes % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each that passes both the buckets and the bitmap costs as much as many bytes that do not.
    #[test]
    fn an_ordinary_event_has_hardly_any_anchors() {
        let tables = &Finder::get().tables;
        let passes = |window: &[u8], set: &simd::Set| {
            let halves = (0..3).map(|place| {
                let (low, high) = (window[place] & 0xF, window[place] >> 4);
                set.low[place][usize::from(low)] & set.high[place][usize::from(high)]
            });
            halves.fold(0xFF, |buckets, half| buckets & half) != 0
        };
        let is_anchor = |window: &&[u8]| {
            let slot = simd::slot([window[0], window[1], window[2]]);
            tables.anchors[slot / 64] >> (slot % 64) & 1 != 0
        };
        let found: Vec<String> = SAMPLE
            .as_bytes()
            .windows(3)
            .filter(|window| tables.sets.iter().any(|set| passes(window, set)))
            .filter(is_anchor)
            .map(|window| String::from_utf8_lossy(window).into_owned())
            .collect();
        assert!(found.len() <= 4, "{found:?}");
        let windows = SAMPLE.as_bytes().windows(3);
        let candidates = windows.filter(|window| tables.sets.iter().any(|set| passes(window, set))).count();
        assert!(candidates <= 20, "{candidates}");
    }
}
