//! [`Outgoing`]: the contents of a request, which each redirect may change.

use crate::{
    client::RequestBody,
    url::{checked, origin, shown, taken_credentials},
};
use asyncio_core::{Error, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, COOKIE,
        HOST, HeaderValue, LOCATION, PROXY_AUTHORIZATION, TRANSFER_ENCODING,
    },
};
use std::fmt::Write;

/// A body that can be sent again, or one that is generated while it is sent.
pub(crate) enum Content {
    Fixed(Bytes),
    Stream(Option<RequestBody>),
}

/// The contents of a request.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
    /// Whether the header `Authorization` is that of a URL.
    is_authorized_by_url: bool,
}

impl Outgoing {
    /// Moves the user name and password of the URL to a header, unless `headers` has it.
    ///
    /// # Errors
    /// `Value` for a URL to which no request can be sent.
    pub(crate) fn new(
        method: Method,
        url: Uri,
        headers: HeaderMap,
        content: Content,
    ) -> Result<Outgoing> {
        let mut outgoing = Outgoing { method, url, headers, content, is_authorized_by_url: false };
        outgoing.authorize()?;
        Ok(outgoing)
    }

    /// The program's own header stays.
    fn authorize(&mut self) -> Result<()> {
        checked(&self.url)?;
        let may_set = self.is_authorized_by_url || !self.headers.contains_key(AUTHORIZATION);
        if let Some(authorization) = taken_credentials(&mut self.url)?.filter(|_| may_set) {
            self.headers.insert(AUTHORIZATION, authorization);
            self.is_authorized_by_url = true;
        }
        Ok(())
    }

    /// Whether the body can be sent more than once.
    pub(crate) fn can_be_sent_again(&self) -> bool {
        matches!(self.content, Content::Fixed(_))
    }

    /// Returns the request as hyper's type.
    pub(crate) fn request(&mut self) -> Request<RequestBody> {
        let body = match &mut self.content {
            Content::Fixed(bytes) => fixed(bytes.clone()),
            Content::Stream(body) => body.take().unwrap_or_else(|| fixed(Bytes::new())),
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// Adds the request to the error with which it failed, as a note.
    pub(crate) fn add_to(&self, error: Error) -> Error {
        match error.is_cancelled() {
            true => error,
            false => error.add_note(format_args!("Client: {} {}", self.method, shown(&self.url))),
        }
    }

    /// If such a response is a redirect, makes this the next request. Returns whether it was one.
    pub(crate) fn follow(&mut self, status: StatusCode, response: &HeaderMap) -> Result<bool> {
        let becomes_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => false,
            _ => return Ok(false),
        };
        let Some(location) = response.get(LOCATION) else { return Ok(false) };
        let url = resolved(&self.url, location)?;
        if becomes_get {
            self.method = Method::GET;
            self.content = Content::Fixed(Bytes::new());
            self.remove(&OF_THE_BODY);
        } else if !self.can_be_sent_again() {
            return Err(Error::runtime(format!(
                "Client: the server has redirected ({status}) to {}, and a streamed body cannot be sent \
                 again; send it there, or set `allow_redirects(false)`",
                shown(&url)
            )));
        }
        if origin(&url) != origin(&self.url) {
            self.remove(&OF_THE_ORIGIN);
        }
        self.url = url;
        self.authorize()?;
        Ok(true)
    }

    fn remove(&mut self, names: &[hyper::header::HeaderName]) {
        for name in names {
            self.headers.remove(name);
        }
    }
}

/// The headers that go with a body.
const OF_THE_BODY: [hyper::header::HeaderName; 5] =
    [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING];
/// The headers that must not be sent to another server.
const OF_THE_ORIGIN: [hyper::header::HeaderName; 4] =
    [AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION];

fn fixed(body: Bytes) -> RequestBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// The URL of a location, which may be relative (RFC 3986, 5.2).
fn resolved(base: &Uri, location: &HeaderValue) -> Result<Uri> {
    let text = encoded(location.as_bytes());
    let text = text.split('#').next().unwrap_or_default();
    let scheme = base.scheme_str().unwrap_or("http");
    let has_scheme = text.split(['/', '?']).next().is_some_and(|first| first.contains(':'));
    let url = if has_scheme {
        text.to_owned()
    } else if text.starts_with("//") {
        format!("{scheme}:{text}")
    } else {
        let (path, mut query) = text.split_at(text.find('?').unwrap_or(text.len()));
        let path = match path {
            "" => {
                if query.is_empty() {
                    query = base
                        .path_and_query()
                        .map_or("", |both| &both.as_str()[base.path().len()..]);
                }
                base.path().to_owned()
            }
            absolute if absolute.starts_with('/') => without_dots(absolute),
            relative => {
                let directory = base.path().rfind('/').map_or("/", |end| &base.path()[..=end]);
                without_dots(&format!("{directory}{relative}"))
            }
        };
        let authority = base.authority().map_or("", |authority| authority.as_str());
        format!("{scheme}://{authority}{path}{query}")
    };
    url.parse().map_err(|error| Error::value(format!("Client: a redirect to {text:?}: {error}")))
}

/// The text of a location; characters that are not allowed in a URL are encoded.
fn encoded(location: &[u8]) -> String {
    let mut text = String::with_capacity(location.len());
    for byte in location.trim_ascii() {
        match byte {
            b'!'..=b'~' => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

/// A path, which begins with `/`, without its segments `.` and `..`.
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Among them are the examples of RFC 3986, 5.4.
    #[test]
    fn a_location_is_resolved_against_the_url() {
        let base = Uri::from_static("http://a/b/c/d;p?q");
        for (location, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g/h", "http://g/h"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g?y#s", "http://a/b/c/g?y"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("https://other:81/x?y", "https://other:81/x?y"),
            (" /a b\u{e4}", "http://a/a%20b%C3%A4"),
        ] {
            let url = HeaderValue::from_bytes(location.as_bytes()).map(|it| resolved(&base, &it));
            assert_eq!(url.unwrap().unwrap().to_string(), expected, "{location}");
        }
        let wrong = resolved(&base, &HeaderValue::from_static("http://[")).unwrap_err();
        assert!(wrong.to_string().contains("a redirect to"), "{wrong}");
    }
}
