//! Who may ask, and what every answer carries.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use crate::token::Token;

/// Nothing but the page's own files and its own server; styles are set by script alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// The name of the cookie that holds the token, which has the port in it: cookies know no ports, and two
/// servers of one machine are not each other's.
fn cookie_of(port: u16) -> String {
    format!("isoflop-{port}")
}

/// What a request must show.
#[derive(Clone, Debug)]
pub struct Guard {
    address: SocketAddr,
    token: Option<Token>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0} can be reached by others: a token is needed")]
pub struct NeedsToken(SocketAddr);

impl Guard {
    /// # Errors
    /// An address that is not of this machine alone, and no token.
    pub fn new(address: SocketAddr, token: Option<Token>) -> Result<Self, NeedsToken> {
        if token.is_none() && !address.ip().is_loopback() {
            return Err(NeedsToken(address));
        }
        Ok(Self { address, token })
    }

    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(Refusal::Method);
        }
        if self.address.ip().is_loopback() && !is_loopback_host(headers) {
            return Err(Refusal::Host);
        }
        if is_asked_by_another_page(headers) {
            return Err(Refusal::Origin);
        }
        let Some(token) = &self.token else { return Ok(()) };
        let cookie = cookie_of(self.address.port());
        let shown = bearer(headers).or_else(|| cookie_in(headers, &cookie));
        if shown.is_some_and(|shown| token.is(shown)) {
            return Ok(());
        }
        match token_in(uri) {
            // Lax, for a strict cookie is not sent where a link on another page led here; reading is all
            // there is, and other pages cannot read.
            Some(given) if uri.path() == "/" && token.is(given) => {
                Err(Refusal::Welcome(format!("{cookie}={token}; HttpOnly; SameSite=Lax; Path=/")))
            }
            Some(_) | None => Err(Refusal::Token),
        }
    }
}

/// Why a request goes no further.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Method,
    Host,
    Origin,
    Token,
    /// The token was in the address: it goes into a cookie, and out of the address.
    Welcome(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")], "only GET is answered\n")
                    .into_response()
            }
            Self::Host => (
                StatusCode::MISDIRECTED_REQUEST,
                "this server answers to localhost and 127.0.0.1; for other names use --bind and a token\n",
            )
                .into_response(),
            Self::Origin => {
                (StatusCode::FORBIDDEN, "other pages may link to this one, and no more\n").into_response()
            }
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                "open the address that isoflop serve printed: it has the token\n",
            )
                .into_response(),
            Self::Welcome(cookie) => {
                ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
            }
        }
    }
}

/// Checks a request, and puts the headers on its answer, whatever that is.
pub async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let checked = guard.check(request.method(), request.uri(), request.headers());
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let is_kept = response.headers().contains_key(header::CACHE_CONTROL);
    if !is_kept {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// A page elsewhere whose name was made to mean 127.0.0.1 still sends its own name.
fn is_loopback_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = without_port(host);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Browsers say who asks. A foreign page could not read the answer, and is not to make this machine fit
/// curves either; what a person follows a link to is answered.
fn is_asked_by_another_page(headers: &HeaderMap) -> bool {
    let said = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let is_foreign = matches!(said("sec-fetch-site"), Some("cross-site" | "same-site"));
    is_foreign && said("sec-fetch-dest") != Some("document")
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            name
        }
        Some(_) | None => host,
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn cookie_in<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

fn token_in(uri: &Uri) -> Option<&str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str, token: Option<&Token>) -> Guard {
        Guard::new(address.parse().unwrap(), token.cloned()).unwrap()
    }

    fn check(guard: &Guard, path: &str, headers: &[(&'static str, &str)]) -> Result<(), Refusal> {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let headers = headers.iter().map(pair).collect();
        guard.check(&Method::GET, &path.parse().unwrap(), &headers)
    }

    #[test]
    fn on_loopback_the_host_must_be_loopback() {
        let guard = at("127.0.0.1:7000", None);
        for host in ["localhost", "LOCALHOST:7000", "127.0.0.1:7000", "[::1]:7000", "127.9.9.9"] {
            assert_eq!(check(&guard, "/", &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example", "evil.example:7000", "127.0.0.1.evil.example", "10.0.0.1", ""]
        {
            assert_eq!(check(&guard, "/", &[("host", host)]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(check(&guard, "/", &[]), Err(Refusal::Host));
    }

    #[test]
    fn a_foreign_page_may_link_here_and_no_more() {
        let guard = at("127.0.0.1:7000", None);
        let asked = |site, dest| {
            let from = [("host", "localhost"), ("sec-fetch-site", site), ("sec-fetch-dest", dest)];
            check(&guard, "/api/sweeps", &from)
        };
        for site in ["cross-site", "same-site"] {
            assert_eq!(asked(site, "document"), Ok(()));
            for dest in ["empty", "image", "script", "iframe"] {
                assert_eq!(asked(site, dest), Err(Refusal::Origin), "{site} {dest}");
            }
        }
        assert_eq!(asked("same-origin", "empty"), Ok(()));
        assert_eq!(asked("none", "document"), Ok(()));
    }

    #[test]
    fn another_address_needs_a_token() {
        assert!(Guard::new("0.0.0.0:7000".parse().unwrap(), None).is_err());
        assert!(Guard::new("[::]:7000".parse().unwrap(), None).is_err());
        let (token, other) = (Token::random().unwrap(), Token::random().unwrap());
        let guard = at("0.0.0.0:7000", Some(&token));
        let bearer = format!("Bearer {token}");
        let cookie = format!("a=b; isoflop-7000={token}");
        assert_eq!(check(&guard, "/api/sweeps", &[("authorization", &bearer)]), Ok(()));
        assert_eq!(check(&guard, "/api/sweeps", &[("cookie", &cookie)]), Ok(()));
        let wrong =
            [format!("isoflop-7000={other}"), format!("isoflop-7001={token}"), String::new()];
        for cookie in &wrong {
            assert_eq!(check(&guard, "/api/sweeps", &[("cookie", cookie)]), Err(Refusal::Token));
        }
    }

    #[test]
    fn a_token_in_the_address_goes_into_a_cookie_and_opens_nothing_else() {
        let token = Token::random().unwrap();
        let guard = at("0.0.0.0:7000", Some(&token));
        let expected = format!("isoflop-7000={token}; HttpOnly; SameSite=Lax; Path=/");
        let welcome = check(&guard, &format!("/?token={token}"), &[]);
        assert_eq!(welcome, Err(Refusal::Welcome(expected)));
        for path in [format!("/api/sweeps?token={token}"), "/?token=".into(), "/?token=0".into()] {
            assert_eq!(check(&guard, &path, &[]), Err(Refusal::Token), "{path}");
        }
    }

    #[test]
    fn only_reading_is_answered() {
        let guard = at("127.0.0.1:7000", None);
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost"))]);
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let checked = guard.check(&method, &Uri::from_static("/"), &headers);
            assert_eq!(checked, Err(Refusal::Method));
        }
    }
}
