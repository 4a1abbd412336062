//! The user name and password of a URL, which are sent as basic authentication.

use asyncio_core::{Error, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap, Uri,
    header::{AUTHORIZATION, HeaderValue},
    http::uri::{Authority, InvalidUri},
};
use percent_encoding::percent_decode_str;

/// Removes the user name and the password from a URL, and returns the header `Authorization` for them; `None` if the
/// URL has neither.
///
/// # Errors
/// `Value` if the user name contains a colon, which basic authentication cannot express.
pub(crate) fn taken(url: &mut Uri) -> Result<Option<HeaderValue>> {
    let Some(authority) = url.authority() else { return Ok(None) };
    let Some((credentials, host)) = authority.as_str().rsplit_once('@') else { return Ok(None) };
    let authorization = basic(credentials)?;
    let host: Authority = host.parse().map_err(|error: InvalidUri| Error::from(error))?;
    let mut parts = std::mem::take(url).into_parts();
    parts.authority = Some(host);
    *url = Uri::from_parts(parts)?;
    Ok(authorization)
}

/// Does the same, and sets the header unless there is one.
pub(crate) fn move_to(headers: &mut HeaderMap, url: &mut Uri) -> Result<()> {
    if let Some(authorization) = taken(url)? {
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
            let taken = taken(&mut left).unwrap();
            let taken = taken.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!((&*left.to_string(), taken), (rest, header), "{url}");
        }
    }

    #[test]
    fn a_colon_in_the_user_name_is_refused() {
        let error = taken(&mut Uri::from_static("http://a%3Ab:pw@c/")).unwrap_err();
        assert_eq!(error.kind(), "ValueError");
    }
}
