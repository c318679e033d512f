//! A verified webhook.

use bytes::Bytes;
use signatures::Verified;

use crate::provider::callback_token::Token;

/// A webhook with a verified callback token and, if signed, a verified signature.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub body: Verified<Bytes>,
    /// Whether the provider signed it. Otherwise it is an unsigned notification, which only triggers a
    /// poll: anyone who knows the URL can send one.
    pub signed: bool,
    /// The provider account, if the signature covers it.
    pub user: Option<String>,
}

impl Delivery {
    /// A delivery with a valid token and no signature.
    pub fn unsigned(token: &Verified<Token>, body: Bytes) -> Self {
        Self { body: token.clone().map(|_token| body), signed: false, user: None }
    }
}
