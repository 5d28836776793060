//! What keeps things apart and is no secret stays in free text, but for what the docs say.

use chacha20::rand_core::Rng as _;

use super::{masker, numbers};
use crate::mask::texts::card_numbers;

#[test]
fn ten_thousand_ids_of_each_kind_stay() {
    let (masker, mut rng) = (masker(), numbers());
    for _ in 0..10_000 {
        let (a, b) = (rng.next_u64(), rng.next_u64());
        let uuid = format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            a >> 16 & 0xFFFF,
            a & 0xFFF,
            b >> 48,
            b & 0xFFFF_FFFF_FFFF
        );
        for id in [
            format!("request {uuid} failed"),
            format!("{a:016x}{b:016x}"),
            format!("commit {a:016x}{b:016x}{:08x} by u-{}", a >> 32, b >> 40),
            format!("sha256:{a:016x}{b:016x}{b:016x}{a:016x}"),
            format!("arn:aws:iam::{:012}:role/app-{a:x}", b % 1_000_000_000_000),
            format!("arn:aws:secretsmanager:eu-west-1:{:012}:secret:prod/db-{a:x}", b % 1_000_000_000_000),
            // Those of Twitter since 2017 and of Discord begin with 1.
            format!("message 1{:018}", a % 1_000_000_000_000_000_000),
            format!("order {}", a % 10_000_000_000),
            format!("at {}", 1_700_000_000_000 + a % 100_000_000_000),
            format!("trace 00-{a:016x}{b:016x}-{a:016x}-01"),
            format!("key AKIA{:016}", a % 10_000_000_000_000_000).replace('9', "Z"),
        ] {
            assert_eq!(masker.masked_text(&id, true, 0), None, "{id}");
        }
    }
}

/// As the docs say: of random numbers of 16 digits those go that an issuer could have given out.
#[test]
fn of_numbers_like_cards_in_free_text_those_go_that_could_be_cards() {
    let (masker, mut rng) = (masker(), numbers());
    let mut gone = 0;
    for _ in 0..10_000 {
        let number = format!("{:016}", rng.next_u64() % 10_000_000_000_000_000);
        let masked = masker.masked_text(&format!("order {number} shipped"), true, 0);
        assert_eq!(masked.is_some(), card_numbers::find(number.as_bytes(), 0).is_some(), "{number}");
        assert!(masked.is_none_or(|masked| masked == "order *** shipped"));
        gone += usize::from(card_numbers::find(number.as_bytes(), 0).is_some());
        assert_eq!(masker.masked_text(&number, false, 0), None, "where it says who somebody is");
    }
    assert!((150..400).contains(&gone), "{gone} of 10,000");
}

#[test]
fn what_only_speaks_of_secrets_stays() {
    let masker = masker();
    for text in [
        "System.Core, Version=4.0.0.0, Culture=neutral, PublicKeyToken=b77a5c561934e089",
        "ElevatedToken: %%1842, ElevatedToken=%%1843",
        "Token Elevation Type: %%1936",
        "{\"Has Sensitive Credentials\":\"No\"}",
        "report {\"Has Sensitive Credentials\":\"No\",\"n\":1}",
        "Has Sensitive Credentials: No",
        "client_token=hmac-sha256:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "max_tokens=4096, total_tokens: 1234",
        "Unexpected token '<', \"<!DOCTYPE \"... is not valid JSON",
        "secrets \"db-credentials\" not found",
        "system:serviceaccount:kube-system:token-cleaner",
        "docker pull registry.example.com:5000/token:1.2.3",
        "PWD=/home/anna OLDPWD=/tmp",
        "cp -pr a b && docker run -p8080:80 nginx",
        "mkdir -p /srv/data; ps -u root",
        "username/password combination is wrong",
        "https://example.com:8443/@anna and https://example.com/a:b@c",
        "token expired, password: expired; secret: none",
        "the key map[a:b password:<nil>]",
    ] {
        assert_eq!(masker.masked_text(text, true, 0), None, "{text}");
    }
}
