//! Where a Redis server is.

use std::fmt;

use redis::IntoConnectionInfo as _;

/// The URL of a Redis server. It never shows its password.
#[derive(Clone)]
pub struct RedisUrl {
    info: redis::ConnectionInfo,
    shown: String,
}

/// A text is not the URL of a Redis server. It does not show the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the URL of a Redis server: use redis://USER@HOST:PORT/DATABASE, or rediss:// for TLS")]
pub struct BadUrl;

impl RedisUrl {
    /// Reads `redis://USER:PASSWORD@HOST:PORT/DATABASE`, `rediss://…` for TLS, or `redis+unix:///PATH`. `password` counts if the
    /// URL has none.
    ///
    /// ```
    /// use trailseal_redis::RedisUrl;
    ///
    /// let url = RedisUrl::parse("redis://:hunter2@cache.example/2", None).unwrap();
    /// assert_eq!(url.to_string(), "redis://cache.example:6379/2");
    /// assert!(RedisUrl::parse("http://cache.example", None).is_err());
    /// ```
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(url: &str, password: Option<&str>) -> Result<RedisUrl, BadUrl> {
        let is_one = ["redis://", "rediss://", "redis+unix://", "unix://"];
        // `#insecure` would switch the check of certificates off, without which TLS proves nothing.
        if !is_one.iter().any(|scheme| url.starts_with(scheme)) || url.contains('#') || url.contains("pass=")
        {
            return Err(BadUrl);
        }
        let mut info = url.into_connection_info().map_err(|_| BadUrl)?;
        if let Some(password) = password.filter(|_| info.redis_settings().password().is_none()) {
            let settings = info.redis_settings().clone().set_password(password);
            info = info.set_redis_settings(settings);
        }
        let (database, at) = (info.redis_settings().db(), info.addr());
        let shown = match at {
            redis::ConnectionAddr::TcpTls { .. } => format!("rediss://{at}/{database}"),
            redis::ConnectionAddr::Tcp(..) => format!("redis://{at}/{database}"),
            _ => format!("redis+unix://{at}"),
        };
        Ok(RedisUrl { info, shown })
    }

    pub(crate) fn info(&self) -> &redis::ConnectionInfo {
        &self.info
    }
}

/// Takes the password out of a URL, so that it can be passed on where others do not see it. `None` if it has none.
pub fn split_password(url: &str) -> Option<(String, String)> {
    let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| scheme.starts_with("redis"))?;
    let authority = rest.split(['/', '?']).next()?;
    let (login, _) = authority.rsplit_once('@')?;
    let (user, password) = login.split_once(':')?;
    let at = rest.get(login.len()..)?;
    let decoded = RedisUrl::parse(url, None).ok()?.info.redis_settings().password()?.to_owned();
    let user = if user.is_empty() { at.trim_start_matches('@').to_owned() } else { format!("{user}{at}") };
    (!password.is_empty()).then(|| (format!("{scheme}://{user}"), decoded))
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_taken_out_and_shown_nowhere() {
        for (url, bare, password) in [
            ("redis://:hunter2@h:6380/1", "redis://h:6380/1", "hunter2"),
            ("rediss://u:a%40b@h", "rediss://u@h", "a@b"),
        ] {
            assert_eq!(split_password(url), Some((bare.to_owned(), password.to_owned())));
            let url = RedisUrl::parse(url, None).unwrap();
            assert!(!format!("{url} {url:?}").contains(password), "{url}");
        }
        for url in ["redis://h", "redis://u@h", "postgres://u:p@h/d", "cloudtrail", ""] {
            assert_eq!(split_password(url), None, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for url in [
            "",
            "h:6379",
            "http://h",
            "redis://h/x",
            "rediss://h#insecure",
            "redis://",
            "redis+unix:///s?pass=x",
        ] {
            assert!(RedisUrl::parse(url, None).is_err(), "{url}");
        }
        let url = RedisUrl::parse("redis://u@h", Some("pw")).unwrap();
        assert_eq!(url.info().redis_settings().password(), Some("pw"));
        let url = RedisUrl::parse("redis://u:own@h", Some("pw")).unwrap();
        assert_eq!(url.info().redis_settings().password(), Some("own"));
    }
}
