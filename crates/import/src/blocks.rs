//! Resync's blocks, `block_000000.audit`: entries, compressed and encrypted, with hashes and signatures of their own.
//!
//! In: the bytes of one block after the other, and the keys. Out: the entries, one a line of JSON, and which of them do not
//! verify. What must hold: a block is opened by any of the keys, since its application may name a wrong one; its memory is bounded;
//! and no key is ever shown.

use std::io::Read as _;

use aes::Aes128;
use aes::cipher::{Array, BlockCipherDecrypt as _, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use trailseal_event::{Object, Value};

use crate::form::RECORD_LEVELS_MAX;
use crate::hashes::python::{Was, dumps};
use crate::hashes::{HashReport, hex, sha256_hex, text_at};

/// A block is at most so large, also when it is unpacked.
pub const BLOCK_BYTES_MAX: u64 = 256 << 20;

/// What a block begins with.
const BEGIN: &[u8] = b"{\"metadata\":{\"block_id\":";

/// The bytes of a token that are no cipher text: version, time, the first block, and at the end the code.
const TOKEN_FRONT: usize = 25;
const CODE: usize = 32;
const BLOCK: usize = 16;

type Key = [u8; 32];

/// The keys of blocks.
#[derive(Clone, Default)]
pub struct BlockKeys {
    keys: Vec<(String, Key)>,
    signing: Option<Vec<u8>>,
}

impl BlockKeys {
    /// Reads `encryption_keys.json`, with the setting `AUDIT_MASTER_KEY` or else the file `.master_key`.
    ///
    /// # Errors
    /// What is wrong with them, for people.
    pub fn open(
        file: &[u8],
        setting: Option<&str>,
        master_file: Option<&[u8]>,
    ) -> Result<BlockKeys, &'static str> {
        let master: Key = match (setting, master_file) {
            (Some(setting), _) => Sha256::digest(setting.as_bytes()).into(),
            (None, Some(file)) => {
                let bytes = STANDARD.decode(file.trim_ascii()).map_err(|_| ".master_key is not base64")?;
                bytes.try_into().map_err(|_| ".master_key has not 32 bytes")?
            }
            (None, None) => return Err("there is no .master_key beside it: set AUDIT_MASTER_KEY"),
        };
        let text = decrypted(file.trim_ascii(), &master)
            .ok_or("the master key does not open encryption_keys.json")?;
        let parsed = Value::parse(&text).map_err(|_| "encryption_keys.json is not JSON inside")?;
        let decoded = |value: &Value, key: &str| STANDARD.decode(text_at(value, key)?).ok();
        let key = |key: &Value| {
            Some((text_at(key, "key_id").unwrap_or_default(), decoded(key, "key_data")?.try_into().ok()?))
        };
        let keys = parsed.get("keys").and_then(Value::as_array).unwrap_or_default();
        Ok(BlockKeys { keys: keys.iter().filter_map(key).collect(), signing: decoded(&parsed, "hmac_key") })
    }
}

/// Reads blocks, in their order.
#[derive(Default)]
pub struct Blocks {
    keys: BlockKeys,
    before: Option<Before>,
}

/// The block that was read before.
struct Before {
    id: String,
    hash: String,
}

/// A block that was read.
pub struct ReadBlock {
    /// Its entries, one a line of JSON.
    pub lines: Vec<u8>,
    /// What became of the hashes. The numbers of lines are those of the entries.
    pub report: HashReport,
}

impl Blocks {
    /// Reads with these keys.
    pub fn new(keys: BlockKeys) -> Blocks {
        Blocks { keys, before: None }
    }

    /// Whether this is how a block begins.
    pub fn is_block(head: &[u8]) -> bool {
        head.starts_with(BEGIN)
    }

    /// Reads a block.
    ///
    /// # Errors
    /// Why it cannot be read, for people.
    pub fn read(&mut self, bytes: &[u8]) -> Result<ReadBlock, String> {
        let block = Value::parse(bytes).map_err(|error| format!("it is not the JSON of a block: {error}"))?;
        let metadata = block.get("metadata").cloned().unwrap_or_default();
        let entries = self.entries(&block, &metadata)?;
        let mut block = ReadBlock { lines: Vec::new(), report: HashReport::default() };
        self.check_block(&metadata, &entries, &mut block.report);
        let mut chain = None;
        for (entry, line) in entries.iter().zip(1..) {
            match self.check_entry(entry, chain.as_deref()) {
                Some(reason) => {
                    let id = text_at(entry, "entry_id").unwrap_or_default();
                    block.report.fail(line, format!("entry {id}: {reason}"));
                }
                None => block.report.held += 1,
            }
            chain = Some(text_at(entry, "chain_hash").unwrap_or_default());
            block.lines.extend_from_slice(entry.to_string().as_bytes());
            block.lines.push(b'\n');
        }
        let text = |key: &str| text_at(&metadata, key).unwrap_or_default();
        self.before = Some(Before { id: text("block_id"), hash: text("block_hash") });
        Ok(block)
    }

    fn entries(&self, block: &Value, metadata: &Value) -> Result<Vec<Value>, String> {
        let data = text_at(block, "encrypted_data").ok_or("it has no encrypted_data")?;
        let data = STANDARD.decode(data.trim()).map_err(|_| "its encrypted_data is not base64")?;
        let is_plain = metadata.get("encryption_enabled").and_then(Value::as_bool) == Some(false);
        let data = if is_plain { data } else { self.opened(&data, metadata)? };
        let data = match data.starts_with(&[0x1f, 0x8b]) {
            true => {
                let mut text = Vec::new();
                let unpacking =
                    flate2::read::GzDecoder::new(&*data).take(BLOCK_BYTES_MAX).read_to_end(&mut text);
                unpacking.map_err(|error| format!("it cannot be unpacked: {error}"))?;
                text
            }
            false => data,
        };
        let entries = Value::parse_within(&data, RECORD_LEVELS_MAX + 1);
        match entries.map_err(|error| format!("its entries are not JSON: {error}"))? {
            Value::Array(entries) => Ok(entries),
            other => Err(format!("its entries are not a list but {}", other.kind())),
        }
    }

    fn opened(&self, token: &[u8], metadata: &Value) -> Result<Vec<u8>, String> {
        let id = text_at(metadata, "encryption_key_id").unwrap_or_default();
        let named = self.keys.keys.iter().filter(|(known, _)| *known == id);
        let others = self.keys.keys.iter().filter(|(known, _)| *known != id);
        let opened = named.chain(others).find_map(|(_, key)| decrypted(token, key));
        opened.ok_or_else(|| match self.keys.keys.len() {
            0 => "it is encrypted, and there are no keys: put encryption_keys.json and .master_key beside it"
                .to_owned(),
            known => format!("it is encrypted with the key {id}, and none of the {known} keys opens it"),
        })
    }

    fn check_block(&self, metadata: &Value, entries: &[Value], report: &mut HashReport) {
        let text = |key: &str| text_at(metadata, key).unwrap_or_default();
        let id = text("block_id");
        let hashes =
            entries.iter().map(|entry| Value::String(text_at(entry, "hash_value").unwrap_or_default()));
        let mut content = Object::new();
        content.insert("block_id", id.as_str());
        content.insert("created_at", metadata.get("created_at").cloned().unwrap_or_default());
        content.insert("entries", Value::Array(hashes.collect()));
        content.insert("previous_block_hash", text("previous_block_hash"));
        if sha256_hex(&dumps(&Value::Object(content), Was::default())) != text("block_hash") {
            report.fail(
                1,
                format!("{id}: its block_hash does not fit it: entries were removed, added or moved"),
            );
        }
        let number = |id: &str| id.strip_prefix("block_")?.parse::<u64>().ok();
        if let Some(before) = &self.before
            && let (Some(before), Some(this)) = (number(&before.id), number(&id))
            && this != before + 1
        {
            report.fail(1, format!("{id}: the block before it was block_{before:06}: one is missing, or they are out of order"));
        }
    }

    /// Why an entry does not hold.
    fn check_entry(&self, entry: &Value, chain: Option<&str>) -> Option<&'static str> {
        let text = |key: &str| text_at(entry, key).unwrap_or_default();
        let (hash, previous, own) = (text("hash_value"), text("previous_hash"), text("chain_hash"));
        let mut content = Object::new();
        for key in [
            "entry_id",
            "timestamp",
            "event_type",
            "user_id",
            "resource_id",
            "action",
            "details",
            "ip_address",
            "user_agent",
            "session_id",
        ] {
            content.insert(key, entry.get(key).cloned().unwrap_or_default());
        }
        let content = Value::Object(content);
        if !Was::ALL.into_iter().any(|was| sha256_hex(&dumps(&content, was)) == hash) {
            return Some("its hash_value does not fit it, so it was changed");
        }
        if own.is_empty() {
            // Without a chain.
            return None;
        }
        let linked =
            if previous.is_empty() { hash.clone() } else { sha256_hex(&format!("{previous}:{hash}")) };
        if linked != own {
            return Some("its chain_hash does not fit it");
        }
        if let (Some(key), signature) = (&self.keys.signing, text("signature"))
            && !signature.is_empty()
        {
            let Ok(mut code) = Hmac::<Sha256>::new_from_slice(key) else { return None };
            code.update(format!("{}:{hash}:{own}", text("entry_id")).as_bytes());
            if hex(&code.finalize().into_bytes()) != signature {
                return Some("its signature is not by the key of these blocks");
            }
        }
        // The hash of each block takes the place of the chain, sometimes late.
        let follows_block = self.before.as_ref().is_none_or(|before| before.hash == previous);
        let follows = chain == Some(&previous) || previous.is_empty() || follows_block;
        (!follows).then_some("it does not follow the entry before it: one was removed, or they were moved")
    }
}

/// What a Fernet token holds, if the key opens it.
fn decrypted(token: &[u8], key: &Key) -> Option<Vec<u8>> {
    let token = URL_SAFE.decode(token).ok()?;
    let (signing, encrypting) = key.split_at(BLOCK);
    let (signed, code) = token.split_at_checked(token.len().checked_sub(CODE)?)?;
    let mut expected = Hmac::<Sha256>::new_from_slice(signing).ok()?;
    expected.update(signed);
    expected.verify_slice(code).ok()?;
    let (front, text) = signed.split_at_checked(TOKEN_FRONT)?;
    let cipher = Aes128::new_from_slice(encrypting).ok()?;
    let mut before: [u8; BLOCK] = front.last_chunk().copied()?;
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    if !rest.is_empty() || blocks.is_empty() {
        return None;
    }
    let mut plain = Vec::with_capacity(text.len());
    for block in blocks {
        let mut opened = Array::from(*block);
        cipher.decrypt_block(&mut opened);
        plain.extend(opened.iter().zip(before).map(|(byte, before)| byte ^ before));
        before = *block;
    }
    let padding = usize::from(*plain.last()?);
    let len = plain.len().checked_sub(padding).filter(|_| (1..=BLOCK).contains(&padding))?;
    plain.truncate(len);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use aes::cipher::BlockCipherEncrypt as _;

    use super::*;

    fn encrypted(text: &[u8], key: &Key) -> Vec<u8> {
        let (signing, encrypting) = key.split_at(BLOCK);
        let mut token = vec![0x80; TOKEN_FRONT];
        let mut before = [0x80; BLOCK];
        let padding = BLOCK - text.len() % BLOCK;
        let padded: Vec<u8> =
            text.iter().copied().chain(std::iter::repeat_n(padding as u8, padding)).collect();
        let cipher = Aes128::new_from_slice(encrypting).expect("a key");
        for block in padded.as_chunks::<BLOCK>().0 {
            let mixed: [u8; BLOCK] = std::array::from_fn(|at| block[at] ^ before[at]);
            let mut sealed = Array::from(mixed);
            cipher.encrypt_block(&mut sealed);
            before = sealed.into();
            token.extend_from_slice(&before);
        }
        let mut code = Hmac::<Sha256>::new_from_slice(signing).expect("a key");
        code.update(&token);
        token.extend_from_slice(&code.finalize().into_bytes());
        URL_SAFE.encode(token).into_bytes()
    }

    #[test]
    fn a_token_of_the_fernet_specification_is_opened() {
        // The specification's own example.
        let key: Key = URL_SAFE
            .decode("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")
            .expect("base64")
            .try_into()
            .expect("a key");
        let token = b"gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
        assert_eq!(decrypted(token, &key).as_deref(), Some(&b"hello"[..]));
        let mut bent = token.to_vec();
        bent[30] ^= 1;
        assert_eq!(decrypted(&bent, &key), None);
        assert_eq!(decrypted(token, &[7; 32]), None);
        assert_eq!(decrypted(b"", &key), None);
    }

    const SIGNING: &[u8] = b"the key of signatures";
    const KEY: Key = [9; 32];

    fn entry(number: u32, previous: &str) -> (String, String) {
        let content = format!(
            r#"{{"action":"login","details":{{"n":{number},"ratio":1e-05}},"entry_id":"audit_{number}","event_type":"authentication","ip_address":null,"resource_id":null,"session_id":null,"timestamp":1767261600.{number},"user_agent":null,"user_id":"anna"}}"#
        );
        let hash = sha256_hex(&content);
        let chain =
            if previous.is_empty() { hash.clone() } else { sha256_hex(&format!("{previous}:{hash}")) };
        let mut code = Hmac::<Sha256>::new_from_slice(SIGNING).expect("a key");
        code.update(format!("audit_{number}:{hash}:{chain}").as_bytes());
        let signature = hex(&code.finalize().into_bytes());
        let own = content.strip_suffix('}').expect("an object");
        let whole = format!(
            "{own},\"hash_value\":\"{hash}\",\"previous_hash\":\"{previous}\",\"chain_hash\":\"{chain}\",\"signature\":\"{signature}\",\"encryption_key_id\":\"key_1\"}}"
        );
        (whole, chain)
    }

    /// A block of these entries, as its application writes it; and its hash.
    fn block(number: u32, entries: &[String], previous: &str, key: &Key) -> (String, String) {
        let hash_of = |entry: &String| {
            text_at(&Value::parse(entry.as_bytes()).expect("JSON"), "hash_value").expect("a hash")
        };
        let hashes: Vec<String> = entries.iter().map(|entry| format!("\"{}\"", hash_of(entry))).collect();
        let hash = sha256_hex(&format!(
            r#"{{"block_id":"block_{number:06}","created_at":1767261700.5,"entries":[{}],"previous_block_hash":"{previous}"}}"#,
            hashes.join(",")
        ));
        let mut packing = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packing.write_all(format!("[{}]", entries.join(",")).as_bytes()).expect("packs");
        let data = STANDARD.encode(encrypted(&packing.finish().expect("packs"), key));
        let text = format!(
            r#"{{"metadata":{{"block_id":"block_{number:06}","created_at":1767261700.5,"entries_count":{},"block_hash":"{hash}","previous_block_hash":"{previous}","encryption_enabled":true,"encryption_key_id":"key_1","compressed":true}},"encrypted_data":"{data}"}}"#,
            entries.len()
        );
        (text, hash)
    }

    fn keys() -> BlockKeys {
        let text = format!(
            r#"{{"hmac_key":"{}","active_key_id":"key_2","keys":[{{"key_id":"key_1","key_data":"{}"}},{{"key_id":"key_2","key_data":"{}"}}]}}"#,
            STANDARD.encode(SIGNING),
            STANDARD.encode([1; 32]),
            STANDARD.encode(KEY)
        );
        let master: Key = Sha256::digest(b"the setting").into();
        let file = encrypted(text.as_bytes(), &master);
        assert!(BlockKeys::open(&file, None, None).is_err_and(|what| what.contains("AUDIT_MASTER_KEY")));
        assert!(BlockKeys::open(&file, Some("another"), None).is_err());
        let by_file = STANDARD.encode(master);
        assert_eq!(BlockKeys::open(&file, None, Some(by_file.as_bytes())).expect("opens").keys.len(), 2);
        BlockKeys::open(&file, Some("the setting"), None).expect("opens")
    }

    #[test]
    fn blocks_are_opened_by_any_key_and_what_was_changed_is_named() {
        let (one, chain) = entry(1, "");
        let (two, chain) = entry(2, &chain);
        let (three, chain_of_block) = entry(3, &chain);
        let (first, hash) = block(0, &[one.clone(), two.clone(), three.clone()], &chain_of_block, &KEY);
        let (four, _) = entry(4, &hash);
        let (second, _) = block(1, &[four], "x", &KEY);

        let mut blocks = Blocks::new(keys());
        assert!(Blocks::is_block(first.as_bytes()));
        let read = blocks.read(first.as_bytes()).expect("reads");
        assert_eq!((read.report.held, read.report.failed.len()), (3, 0), "{:?}", read.report);
        assert_eq!(read.lines.iter().filter(|&&byte| byte == b'\n').count(), 3);
        let read = blocks.read(second.as_bytes()).expect("reads");
        assert_eq!((read.report.held, read.report.failed.len()), (1, 0), "{:?}", read.report);

        let failed = |entries: &[String]| {
            let (text, _) = block(0, entries, "", &KEY);
            let report = Blocks::new(keys()).read(text.as_bytes()).expect("reads").report;
            report
                .failed
                .into_iter()
                .map(|failed| format!("{} {}", failed.line, failed.reason))
                .collect::<Vec<_>>()
        };
        let changed = two.replace("anna", "bo");
        assert_eq!(failed(&[one.clone(), changed, three.clone()]).len(), 1);
        let forged = two.replace("\"signature\":\"", "\"signature\":\"0");
        assert!(failed(&[one.clone(), forged, three.clone()])[0].contains("signature"));
        // The first block of an import may follow on one that is not there.
        assert_eq!(failed(&[two.clone(), three.clone()]), [""; 0]);
        let missing =
            block(0, &[one.clone(), two.clone()], "", &KEY).0.replace("block_000000", "block_000007");
        let mut blocks = Blocks::new(keys());
        blocks.read(first.as_bytes()).expect("reads");
        let report = blocks.read(missing.as_bytes()).expect("reads").report;
        assert!(report.failed.iter().any(|failed| failed.reason.contains("one is missing")), "{report:?}");
        assert!(report.failed.iter().any(|failed| failed.reason.contains("block_hash")), "{report:?}");
        // Removed from the middle: the block's hash and the entry behind it tell.
        let mut blocks = Blocks::new(keys());
        blocks.read(first.as_bytes()).expect("reads");
        let (text, _) = block(1, &[one, three], "", &KEY);
        let report = blocks.read(text.as_bytes()).expect("reads").report;
        assert!(
            report.failed.iter().any(|failed| failed.line == 2 && failed.reason.contains("does not follow")),
            "{report:?}"
        );

        let (locked, _) = block(0, &[two], "", &[5; 32]);
        let error = Blocks::new(keys()).read(locked.as_bytes()).err().expect("no key");
        assert!(error.contains("none of the 2 keys opens it"), "{error}");
        let error = Blocks::default().read(locked.as_bytes()).err().expect("no keys");
        assert!(error.contains("put encryption_keys.json"), "{error}");
    }
}
