//! URLs of requests and proxies: checks, and the user name and password, which are sent as basic authentication.

use asyncio_core::{Error, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap, Uri,
    header::{AUTHORIZATION, HeaderValue},
    http::uri::{Authority, InvalidUri, Scheme},
};
use percent_encoding::percent_decode_str;

/// Checks that a request can be sent to a URL.
///
/// # Errors
/// `Value` if not: it is not absolute, has another scheme than http and https, or a port that does not exist.
pub(crate) fn checked(url: &Uri) -> Result<()> {
    let refused = |why| Err(Error::value(format!("Client: {}: {why}", shown(url))));
    match url.scheme_str() {
        None => return refused("the URL of a request begins with http:// or https://"),
        Some("http") => {}
        Some("https") if cfg!(feature = "tls") => {}
        Some(_) => return refused("only http and, with the feature tls, https are supported"),
    }
    let authority = url.authority().map_or("", |authority| authority.as_str());
    // What follows the user, the password, and an address in brackets.
    let end = authority.rsplit(['@', ']']).next().unwrap_or_default();
    let has_port = end.split_once(':').is_some_and(|(_, port)| !port.is_empty());
    match has_port && url.port_u16().is_none() {
        true => refused("a port is a number up to 65535"),
        false => Ok(()),
    }
}

/// Scheme, host and port.
pub(crate) type Origin = (Option<Scheme>, Option<String>, Option<u16>);

pub(crate) fn origin(url: &Uri) -> Origin {
    let default = if url.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    let host = url.host().map(str::to_ascii_lowercase);
    (url.scheme().cloned(), host, url.port_u16().or(Some(default)))
}

/// A URL as messages show it: without a user name and a password.
pub(crate) fn shown(url: &Uri) -> String {
    let text = url.to_string();
    match url.authority().and_then(|authority| authority.as_str().rsplit_once('@')) {
        Some((user, _)) => text.replacen(&format!("{user}@"), "", 1),
        None => text,
    }
}

/// Removes the user name and the password from a URL, and returns the header `Authorization` for them; `None` if the
/// URL has neither.
///
/// # Errors
/// `Value` if the user name contains a colon, which basic authentication cannot express.
pub(crate) fn taken_credentials(url: &mut Uri) -> Result<Option<HeaderValue>> {
    let Some(authority) = url.authority() else { return Ok(None) };
    let Some((credentials, host)) = authority.as_str().rsplit_once('@') else { return Ok(None) };
    let authorization = basic(credentials)?;
    let host: Authority = host.parse().map_err(|error: InvalidUri| Error::from(error))?;
    let mut parts = std::mem::take(url).into_parts();
    parts.authority = Some(host);
    *url = Uri::from_parts(parts)?;
    Ok(authorization)
}

/// Checks a URL, and moves the credentials to the header `Authorization`, unless there is one.
///
/// # Errors
/// `Value` for a URL to which no request can be sent.
pub(crate) fn move_credentials(url: &mut Uri, headers: &mut HeaderMap) -> Result<()> {
    checked(url)?;
    if let Some(authorization) = taken_credentials(url)? {
        headers.entry(AUTHORIZATION).or_insert(authorization);
    }
    Ok(())
}

/// The header for `user:password`, whose parts are percent-encoded.
fn basic(credentials: &str) -> Result<Option<HeaderValue>> {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    if user.is_empty() && password.is_empty() {
        return Ok(None);
    }
    let mut decoded: Vec<u8> = percent_decode_str(user).collect();
    if decoded.contains(&b':') {
        let text = "Client: the user name in a URL contains a colon, which basic authentication does not allow";
        return Err(Error::value(text));
    }
    decoded.push(b':');
    decoded.extend(percent_decode_str(password));
    let mut header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(decoded)))?;
    header.set_sensitive(true);
    Ok(Some(header))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_a_password() {
        for (url, expected) in [
            ("http://me:secret@a:80/b@c?d=me:secret@", "http://a:80/b@c?d=me:secret@"),
            ("https://me@[::1]/", "https://[::1]/"),
            ("http://a/b@c", "http://a/b@c"),
            ("/b@c", "/b@c"),
        ] {
            assert_eq!(shown(&Uri::from_static(url)), expected);
        }
    }

    #[test]
    fn a_url_needs_a_scheme_and_a_port_that_exists() {
        for url in [
            "http://a:1/",
            "HTTP://a",
            "http://[::1]",
            "http://[::1]:65535/",
            "http://a:/",
            "http://u:p@a/",
        ] {
            assert!(checked(&Uri::from_static(url)).is_ok(), "{url}");
        }
        for (url, why) in [
            ("/a", "begins with http://"),
            ("a:80", "begins with http://"),
            ("ftp://a/", "only http"),
            ("http://a:65536/", "up to 65535"),
            ("http://a:b/", "up to 65535"),
            ("http://[::1]:65536/", "up to 65535"),
            ("http://me:1@a:99999", "http://a:99999/: a port"),
        ] {
            let error = checked(&Uri::from_static(url)).unwrap_err();
            assert_eq!(error.kind(), "ValueError");
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn user_and_password_become_a_header() {
        for (url, rest, header) in [
            ("http://me:pw@a:80/b?c", "http://a:80/b?c", Some("Basic bWU6cHc=")),
            ("https://me@a", "https://a/", Some("Basic bWU6")),
            ("http://:pw@[::1]:8/", "http://[::1]:8/", Some("Basic OnB3")),
            // "me@a:p:w/ä%"
            ("http://me%40a:p:w%2F%C3%A4%25@a/", "http://a/", Some("Basic bWVAYTpwOncvw6Ql")),
            ("http://@a/", "http://a/", None),
            ("http://:@a/", "http://a/", None),
            ("http://a/me:pw@b", "http://a/me:pw@b", None),
            ("/me:pw@b", "/me:pw@b", None),
        ] {
            let mut left = Uri::from_static(url);
            let taken = taken_credentials(&mut left).unwrap();
            let taken = taken.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!((&*left.to_string(), taken), (rest, header), "{url}");
        }
    }

    #[test]
    fn a_colon_in_the_user_name_is_refused() {
        let error = taken_credentials(&mut Uri::from_static("http://a%3Ab:pw@c/")).unwrap_err();
        assert_eq!(error.kind(), "ValueError");
    }
}
