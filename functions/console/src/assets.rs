//! The style sheet and htmx, which are part of the binary.
//!
//! `assets/htmx.js` is `dist/htmx.min.js` of htmx 2.0.11, unchanged (0BSD,
//! <https://github.com/bigskysoftware/htmx>); a test holds its SHA-256.

use std::sync::LazyLock;

use data_encoding::HEXLOWER;
use lambda_http::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use lambda_http::{Body, Response};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("../assets/console.css");
const HTMX: &str = include_str!("../assets/htmx.js");

/// Part of the assets' URLs, so that a new release is not shown with an old style sheet.
pub(crate) fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let hash = Sha256::new().chain_update(STYLE).chain_update(HTMX).finalize();
        HEXLOWER.encode(&hash[..4])
    });
    &VERSION
}

/// The asset of this path.
pub(crate) fn find(path: &str) -> Option<Response<Body>> {
    let (kind, text) = match path {
        "console.css" => ("text/css; charset=utf-8", STYLE),
        "htmx.js" => ("text/javascript; charset=utf-8", HTMX),
        _ => return None,
    };
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn htmx_is_the_file_that_was_released() {
        let hash = HEXLOWER.encode(&Sha256::digest(HTMX));
        assert_eq!(hash, "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717");
    }
}
