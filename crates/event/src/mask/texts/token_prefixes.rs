//! The forms of secrets: the prefixes that providers give to their tokens.
//!
//! Each rule names three bytes of its literal (the *anchor*), by which the prefilter finds it. They are chosen to be
//! rare in JSON text, and are never a byte that JSON escapes; if the literal has punctuation, they end with it, since
//! that is rare and lets anchors share a bucket.

/// How many classes there are.
pub(super) const CLASSES: usize = 6;

/// What a token's body consists of.
#[derive(Clone, Copy)]
pub(in crate::mask) enum Class {
    /// Letters and digits.
    Alnum,
    /// Letters, digits, `_` and `-`.
    Word,
    /// Word and `.`, `=`, `~`.
    Dotted,
    /// Lower-case hexadecimal digits.
    Hex,
    /// Capital letters and digits.
    Upper,
    /// Base64: letters, digits, `+`, `/`, `=`, `_`, `-`.
    Base64,
}

impl Class {
    pub(in crate::mask) fn holds(self, byte: u8) -> bool {
        match self {
            Class::Alnum => byte.is_ascii_alphanumeric(),
            Class::Word => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Class::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'=' | b'~'),
            Class::Hex => byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'),
            Class::Upper => byte.is_ascii_digit() || byte.is_ascii_uppercase(),
            Class::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-'),
        }
    }
}

/// What follows a rule's literal.
#[derive(Clone, Copy)]
pub(in crate::mask) enum Form {
    /// This many bytes of a class, followed by none of it.
    Body(Class, usize, usize),
    /// The same, with a digit and a capital among them.
    Mixed(Class, usize, usize),
    /// A dedicated function, in `tokens` or `pairs`.
    Special(Special),
}

/// Forms that need more than a class and a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mask) enum Special {
    Jwt,
    Pem,
    Url,
    Basic,
    Bearer,
    Identified,
    Crypt,
    SlashPass,
    Telegram,
    AzureSecret,
    Mailchimp,
    SendGrid,
    Slack,
    Webhook,
    OpenAi,
    Terraform,
    QueryValue,
    Postman,
    Uuid,
    Cloudflare,
    AgeKey,
    OnePassword,
    Braintree,
    Signature,
    PasswordFor,
    EscapeString,
    Netrc,
    GoSource,
    Ssh2,
    Putty,
    EncodedPem,
}

/// One form.
pub(in crate::mask) struct Rule {
    /// What a report calls it.
    pub(in crate::mask) kind: &'static str,
    pub(in crate::mask) literal: &'static str,
    /// Where the anchor is in the literal.
    pub(in crate::mask) anchor: usize,
    pub(in crate::mask) form: Form,
}

const fn body(
    kind: &'static str,
    literal: &'static str,
    anchor: usize,
    class: Class,
    min: usize,
    max: usize,
) -> Rule {
    Rule { kind, literal, anchor, form: Form::Body(class, min, max) }
}

const fn mixed(
    kind: &'static str,
    literal: &'static str,
    anchor: usize,
    class: Class,
    min: usize,
    max: usize,
) -> Rule {
    Rule { kind, literal, anchor, form: Form::Mixed(class, min, max) }
}

const fn special(kind: &'static str, literal: &'static str, anchor: usize, form: Special) -> Rule {
    Rule { kind, literal, anchor, form: Form::Special(form) }
}

use Class::{Alnum, Base64, Dotted, Hex, Upper, Word};

/// The longest token of a kind that has no limit of its own.
const LONG: usize = 16_384;

/// Every form with a literal that occurs in the text unchanged. `key_value` has no literal; see `prefilter`.
pub(in crate::mask) const RULES: &[Rule] = &[
    special("jwt", "eyJ", 0, Special::Jwt),
    special("jwt", "eyA", 0, Special::Jwt),
    mixed("paseto", "v1.local.", 0, Dotted, 40, LONG),
    mixed("paseto", "v2.local.", 6, Dotted, 40, LONG),
    mixed("paseto", "v3.local.", 0, Dotted, 40, LONG),
    mixed("paseto", "v4.local.", 6, Dotted, 40, LONG),
    mixed("paseto", "v1.public.", 5, Dotted, 40, LONG),
    mixed("paseto", "v2.public.", 1, Dotted, 40, LONG),
    mixed("paseto", "v3.public.", 1, Dotted, 40, LONG),
    mixed("paseto", "v4.public.", 7, Dotted, 40, LONG),
    special("private key", "-----BEGIN ", 0, Special::Pem),
    special("private key", "---- BEGIN SSH2 ", 0, Special::Ssh2),
    special("private key", "Private-Lines:", 6, Special::Putty),
    special("private key", "LS0tLS1CRUdJTi", 8, Special::EncodedPem),
    special("url password", "://", 0, Special::Url),
    special("basic header", "asic ", 1, Special::Basic),
    special("basic header", "ASIC ", 1, Special::Basic),
    special("bearer header", "earer ", 2, Special::Bearer),
    special("bearer header", "EARER ", 2, Special::Bearer),
    special("flag", "/pass:", 3, Special::SlashPass),
    special("sql password", "IDENTIFIED ", 4, Special::Identified),
    special("sql password", "identified ", 4, Special::Identified),
    special("sql password", "PASSWORD FOR ", 1, Special::PasswordFor),
    special("sql password", "password for ", 6, Special::PasswordFor),
    special("sql password", " E'", 0, Special::EscapeString),
    special("sql password", " e'", 0, Special::EscapeString),
    special("netrc", "machine ", 5, Special::Netrc),
    special("go data source", "@tcp(", 0, Special::GoSource),
    special("go data source", "@unix(", 0, Special::GoSource),
    special("sql password", "crypt('", 4, Special::Crypt),
    special("sql password", "CRYPT('", 4, Special::Crypt),
    special("age key", "AGE-SECRET-KEY-1", 1, Special::AgeKey),
    // Clouds.
    special("url signature", "Signature=", 7, Special::Signature),
    special("url signature", "signature=", 7, Special::Signature),
    body("aws session token", "IQoJb3JpZ2lu", 0, Base64, 100, LONG),
    body("aws session token", "FwoGZXIvYXdz", 1, Base64, 100, LONG),
    body("aws bedrock key", "ABSKQmVkcm9ja0FQSUtleS", 2, Base64, 80, 400),
    body("aws bedrock key", "bedrock-api-key-", 5, Base64, 40, LONG),
    body("aws mws token", "amzn.mws.", 2, Word, 36, 36),
    body("google api key", "AIza", 1, Word, 35, 35),
    body("google api key", "AQ.Ab8R", 3, Word, 40, 100),
    body("google oauth token", "ya29.", 2, Dotted, 20, LONG),
    body("google oauth secret", "GOCSPX-", 4, Word, 28, 28),
    body("google refresh token", "1//0", 0, Word, 40, 512),
    special("azure signature", "sig=", 1, Special::QueryValue),
    special("azure client secret", "7Q~", 0, Special::AzureSecret),
    special("azure client secret", "8Q~", 0, Special::AzureSecret),
    body("digitalocean token", "dop_v1_", 4, Hex, 64, 64),
    body("digitalocean token", "doo_v1_", 4, Hex, 64, 64),
    body("digitalocean token", "dor_v1_", 4, Hex, 64, 64),
    body("heroku key", "HRKU-", 2, Word, 36, 80),
    body("databricks token", "dapi", 0, Hex, 32, 32),
    special("cloudflare key", "v1.0-", 0, Special::Cloudflare),
    // Code.
    body("github token", "ghp_", 1, Alnum, 36, 255),
    body("github token", "gho_", 1, Alnum, 36, 255),
    body("github token", "ghu_", 1, Alnum, 36, 255),
    body("github token", "ghs_", 1, Alnum, 36, 255),
    body("github token", "ghr_", 1, Alnum, 36, 255),
    body("github token", "ghs_", 1, Dotted, 100, LONG),
    body("github token", "github_pat_", 4, Word, 60, 255),
    body("gitlab token", "glpat-", 3, Dotted, 20, 320),
    body("gitlab token", "gldt-", 2, Word, 20, 64),
    body("gitlab token", "glft-", 2, Word, 20, 64),
    body("gitlab token", "glrt-", 2, Dotted, 20, 320),
    body("gitlab token", "glptt-", 3, Word, 40, 40),
    body("gitlab token", "glcbt-", 3, Word, 20, 64),
    body("gitlab token", "glimt-", 3, Word, 25, 25),
    body("gitlab token", "glagent-", 5, Word, 50, 1_024),
    body("gitlab token", "gloas-", 3, Word, 64, 64),
    body("gitlab token", "glffct-", 4, Word, 20, 64),
    body("gitlab token", "glsoat-", 4, Word, 20, 64),
    body("gitlab token", "GR1348941", 0, Word, 20, 50),
    body("bitbucket token", "ATBB", 0, Alnum, 24, 64),
    body("atlassian token", "ATATT3", 3, Dotted, 100, 300),
    body("atlassian token", "ATCTT3", 3, Dotted, 100, 300),
    body("sourcegraph token", "sgp_", 1, Word, 40, 80),
    body("buildkite token", "bkua_", 2, Hex, 40, 40),
    body("circleci token", "CCIPAT_", 4, Word, 40, 80),
    body("sonar token", "squ_", 1, Hex, 40, 40),
    body("sonar token", "sqp_", 1, Hex, 40, 40),
    body("sonar token", "sqa_", 1, Hex, 40, 40),
    body("octopus key", "API-", 1, Upper, 26, 26),
    body("artifactory key", "AKCp", 0, Alnum, 64, 80),
    body("artifactory token", "cmVmdGtu", 3, Base64, 50, 80),
    // Chat.
    special("slack token", "xox", 0, Special::Slack),
    body("slack token", "xapp-", 2, Word, 60, 160),
    special("webhook", "hooks.slack.com/", 5, Special::Webhook),
    special("webhook", "/webhooks/", 7, Special::Webhook),
    special("webhook", "/IncomingWebhook/", 14, Special::Webhook),
    special("telegram token", ":AA", 0, Special::Telegram),
    // Payment.
    body("stripe key", "sk_live_", 0, Alnum, 16, 255),
    body("stripe key", "sk_test_", 0, Alnum, 16, 255),
    body("stripe key", "sk_prod_", 0, Alnum, 16, 255),
    mixed("stripe key", "sk_org_", 0, Word, 20, 255),
    body("stripe key", "rk_live_", 0, Alnum, 16, 255),
    body("stripe key", "rk_test_", 0, Alnum, 16, 255),
    body("stripe key", "rk_prod_", 0, Alnum, 16, 255),
    body("stripe webhook secret", "whsec_", 3, Base64, 24, 80),
    body("square token", "sq0atp-", 4, Word, 22, 60),
    body("square token", "sq0csp-", 4, Word, 43, 43),
    body("square token", "EAAA", 0, Word, 60, 60),
    body("facebook token", "EAA", 0, Alnum, 60, 400),
    special("braintree token", "access_token$", 4, Special::Braintree),
    body("flutterwave key", "FLWSECK", 1, Word, 16, 50),
    body("shippo token", "shippo_live_", 4, Hex, 40, 40),
    body("shippo token", "shippo_test_", 4, Hex, 40, 40),
    body("easypost key", "EZAK", 0, Alnum, 54, 54),
    body("easypost key", "EZTK", 0, Alnum, 54, 54),
    body("plaid token", "access-sandbox-", 4, Word, 36, 36),
    body("plaid token", "access-production-", 4, Word, 36, 36),
    body("duffel token", "duffel_test_", 4, Word, 43, 43),
    body("duffel token", "duffel_live_", 4, Word, 43, 43),
    // Packages.
    body("npm token", "npm_", 1, Alnum, 36, 36),
    body("pypi token", "pypi-Ag", 2, Word, 100, 1_000),
    body("rubygems key", "rubygems_", 6, Hex, 48, 48),
    body("nuget key", "oy2", 0, Alnum, 43, 43),
    body("clojars token", "CLOJARS_", 5, Alnum, 60, 60),
    body("docker token", "dckr_pat_", 2, Word, 27, 27),
    body("docker token", "dckr_oat_", 2, Word, 32, 32),
    // Mail.
    special("sendgrid key", "SG.", 0, Special::SendGrid),
    body("mailgun key", "key-", 1, Hex, 32, 32),
    special("mailchimp key", "-us", 0, Special::Mailchimp),
    body("brevo key", "xkeysib-", 5, Word, 80, 90),
    // Models.
    special("ai key", "sk-", 0, Special::OpenAi),
    body("hugging face token", "hf_", 0, Alnum, 34, 40),
    body("hugging face token", "api_org_", 1, Alnum, 34, 40),
    body("replicate token", "r8_", 0, Alnum, 37, 37),
    body("groq key", "gsk_", 1, Alnum, 48, 60),
    body("perplexity key", "pplx-", 2, Alnum, 40, 64),
    body("xai key", "xai-", 1, Alnum, 60, 100),
    body("cerebras key", "csk-", 1, Alnum, 40, 60),
    body("elevenlabs key", "sk_", 0, Hex, 48, 64),
    body("langsmith key", "lsv2_pt_", 2, Word, 40, 64),
    body("langsmith key", "lsv2_sk_", 2, Word, 40, 64),
    body("nvidia key", "nvapi-", 3, Word, 60, 72),
    body("pinecone key", "pcsk_", 2, Word, 60, 90),
    mixed("tavily key", "tvly-", 0, Word, 30, 50),
    // Platforms.
    body("shopify token", "shpat_", 3, Hex, 32, 32),
    body("shopify token", "shpca_", 3, Hex, 32, 32),
    body("shopify token", "shppa_", 3, Hex, 32, 32),
    body("shopify token", "shpss_", 3, Hex, 32, 32),
    body("doppler token", "dp.pt.", 2, Alnum, 43, 43),
    body("doppler token", "dp.st.", 0, Dotted, 40, 120),
    body("doppler token", "dp.ct.", 0, Alnum, 40, 44),
    body("doppler token", "dp.sa.", 0, Alnum, 40, 44),
    body("linear key", "lin_api_", 1, Alnum, 40, 40),
    body("linear key", "lin_oauth_", 1, Hex, 64, 64),
    body("figma token", "figd_", 1, Word, 40, 64),
    body("netlify token", "nfp_", 1, Alnum, 36, 40),
    body("posthog key", "phx_", 1, Alnum, 40, 60),
    special("hubspot token", "pat-na1-", 1, Special::Uuid),
    special("hubspot token", "pat-na2-", 1, Special::Uuid),
    special("hubspot token", "pat-eu1-", 1, Special::Uuid),
    body("notion token", "ntn_", 1, Alnum, 40, 60),
    body("notion token", "secret_", 4, Alnum, 43, 43),
    body("grafana token", "glsa_", 2, Word, 41, 41),
    body("grafana token", "glc_", 1, Base64, 32, 400),
    special("postman key", "PMAK-", 2, Special::Postman),
    body("pulumi token", "pul-", 1, Hex, 40, 40),
    body("prefect key", "pnu_", 1, Alnum, 36, 36),
    body("planetscale token", "pscale_tkn_", 4, Dotted, 32, 64),
    body("planetscale password", "pscale_pw_", 4, Dotted, 32, 64),
    body("planetscale token", "pscale_oauth_", 4, Dotted, 32, 64),
    body("fly token", "fo1_", 1, Word, 43, 43),
    body("fly token", "fm1r_", 2, Base64, 100, 2_000),
    body("fly token", "fm1a_", 2, Base64, 100, 2_000),
    body("fly token", "fm2_", 1, Base64, 100, 2_000),
    mixed("vault token", "hvs.", 1, Word, 24, 300),
    mixed("vault token", "hvb.", 1, Word, 24, 400),
    mixed("vault token", "hvr.", 1, Word, 24, 300),
    special("terraform token", ".atlasv1.", 6, Special::Terraform),
    body("newrelic key", "NRAK-", 2, Upper, 27, 27),
    body("newrelic key", "NRII-", 2, Word, 32, 32),
    body("newrelic key", "NRJS-", 2, Hex, 19, 19),
    body("sentry token", "sntrys_", 4, Base64, 80, 500),
    body("sentry token", "sntryu_", 4, Hex, 64, 64),
    body("dynatrace token", "dt0c01.", 4, Dotted, 80, 100),
    special("1password key", "A3-", 0, Special::OnePassword),
    mixed("dropbox token", "sl.", 0, Dotted, 100, LONG),
    body("okta token", "SSWS ", 1, Word, 40, 44),
    body("tailscale key", "tskey-", 3, Word, 30, 100),
    body("supabase token", "sbp_", 1, Hex, 40, 40),
    body("supabase key", "sb_secret_", 7, Word, 25, 60),
    body("vercel token", "vercel_blob_rw_", 4, Word, 30, 100),
    body("adobe secret", "p8e-", 1, Alnum, 32, 32),
    body("readme key", "rdme_", 2, Alnum, 70, 70),
    body("frameio token", "fio-u-", 1, Word, 64, 64),
    body("infracost key", "ico-", 1, Alnum, 32, 32),
    body("typeform token", "tfp_", 1, Dotted, 40, 64),
    body("settlemint token", "sm_aat_", 0, Alnum, 16, 16),
    body("settlemint token", "sm_pat_", 0, Alnum, 16, 16),
    body("settlemint token", "sm_sat_", 0, Alnum, 16, 16),
    body("scalingo token", "tk-us-", 0, Word, 48, 48),
    body("openshift token", "sha256~", 4, Word, 43, 43),
    body("contentful token", "CFPAT-", 3, Word, 43, 43),
    body("trailseal token", "tsl_", 1, Word, 20, 100),
];

/// The last two letters of keys after which a text is checked for `key=value`.
pub(in crate::mask) const KEY_ENDS: &[&[u8; 2]] = &[
    b"rd", b"wd", b"ds", b"se", b"et", b"ue", b"ng", b"en", b"ey", b"al", b"ls", b"on", b"ie", b"es", b"er",
    b"vv", b"sn", b"ty", b"in", b"ad", b"dy", b"nt", b"ry", b"ns", b"ts", b"ys", b"de",
];

/// Those of rare keys, of which only the plainest forms are looked for: `pass=`, `cvc:`, `"pass":`.
pub(in crate::mask) const RARE_KEY_ENDS: &[&[u8; 2]] = &[b"ss", b"vc"];

/// Where the key in a text that ends at `end` begins.
pub(super) fn key_start(text: &[u8], end: usize) -> usize {
    let is_key = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'_' | b'-' | b'.');
    let len = text[..end].iter().rev().take(64).take_while(is_key).count();
    crate::counted_steps::count(len + 1);
    end - len
}
