//! The dashboard: a page that is in the binary, and asks for nothing from elsewhere.

use http::{HeaderValue, StatusCode, header::CONTENT_SECURITY_POLICY};
use include_dir::{Dir, include_dir};

use super::answer::{Answer, refusal, whole};

static PAGE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/admin/page");

/// Nothing but what is ours, and in no frame of anybody's.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The page itself.
pub(super) fn index() -> Answer {
    file("index.html")
}

/// A part of it.
pub(super) fn asset(name: &str) -> Answer {
    file(name)
}

fn file(name: &str) -> Answer {
    let kind = match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => return nothing(),
    };
    let found = PAGE.get_file(name);
    match found.or_else(|| PAGE.get_file(format!("vendor/{name}"))) {
        Some(file) => {
            let mut answer = whole(StatusCode::OK, kind, file.contents());
            let headers = answer.headers_mut();
            headers.insert(CONTENT_SECURITY_POLICY, POLICY);
            answer
        }
        None => nothing(),
    }
}

fn nothing() -> Answer {
    refusal(StatusCode::NOT_FOUND, "there is nothing here")
}
