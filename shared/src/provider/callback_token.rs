//! The token of a callback URL: it identifies the attempt and its provider.

use data_encoding::BASE32_NOPAD;
use domain::id::{JobId, base32};
use domain::provider::Provider;
use signatures::{Secret, Verified, VerifyError, tag};

/// The attempt of a callback URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub job: JobId,
    pub attempt: u8,
    /// The provider that the URL was given to. It stands in the path, and not in the token's text.
    pub provider: Provider,
}

impl Token {
    /// What its text begins with: `<job without its prefix>.<attempt>.`
    pub(super) fn name(&self) -> String {
        format!("{}.{}.", &self.job.as_str()[JobId::PREFIX.len()..], self.attempt)
    }

    /// The token and its tag; `None` for any other spelling of either.
    fn parse(text: &str, provider: Provider) -> Option<(Self, Vec<u8>)> {
        let mut parts = text.split('.');
        let job = format!("{}{}", JobId::PREFIX, parts.next()?).parse().ok()?;
        let token = Self { job, attempt: parts.next()?.parse().ok()?, provider };
        let tag = BASE32_NOPAD.decode(parts.next()?.to_ascii_uppercase().as_bytes()).ok()?;
        (token.name() + &base32(&tag) == text).then_some((token, tag))
    }

    /// What the tag covers.
    fn signed(&self, form: Form) -> Vec<u8> {
        let provider = match form {
            Form::OfProvider => self.provider.name(),
            Form::OfAny => "",
        };
        [self.job.as_str().as_bytes(), &[0, self.attempt], provider.as_bytes()].concat()
    }
}

#[derive(Clone, Copy)]
enum Form {
    OfProvider,
    /// The token of older releases: valid at the path of every provider.
    OfAny,
}

/// The secrets that callback tokens are made with: the first signs, all verify.
#[derive(Debug, Clone)]
pub struct CallbackSecrets(Vec<Secret>);

/// No secret was given, or an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("callback secrets must not be empty")]
pub struct EmptySecret;

impl CallbackSecrets {
    pub fn new(secrets: Vec<Secret>) -> Result<Self, EmptySecret> {
        let usable = !secrets.is_empty() && secrets.iter().all(|secret| !secret.expose().is_empty());
        if usable { Ok(Self(secrets)) } else { Err(EmptySecret) }
    }

    /// `<job without its prefix>.<attempt>.<mac>`: a-z, digits and two dots.
    pub fn sign(&self, token: &Token) -> String {
        token.name() + &base32(&tag::sign(&self.0[0], &[&token.signed(Form::OfProvider)]))
    }

    /// Parses a token at a provider's path, if one of the secrets signed exactly this text for that
    /// provider.
    pub fn verify(&self, text: &str, provider: Provider) -> Result<Verified<Token>, VerifyError> {
        self.check(text, provider, Form::OfProvider)
    }

    /// The same for a token of an older release, which does not authenticate the provider: the caller
    /// must compare the provider and the time of the attempt.
    pub fn verify_old(&self, text: &str, provider: Provider) -> Result<Verified<Token>, VerifyError> {
        self.check(text, provider, Form::OfAny)
    }

    fn check(&self, text: &str, provider: Provider, form: Form) -> Result<Verified<Token>, VerifyError> {
        let (token, tag) = Token::parse(text, provider).ok_or(VerifyError::BadToken)?;
        let proof = tag::verify(&self.0, &[&token.signed(form)], &tag)?;
        Ok(proof.map(|()| token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(texts: &[&str]) -> CallbackSecrets {
        CallbackSecrets::new(texts.iter().map(|text| Secret::new(*text)).collect()).unwrap()
    }

    fn token() -> Token {
        Token { job: JobId::from_bytes([7; 16]), attempt: 2, provider: Provider::Fal }
    }

    #[test]
    fn a_token_names_its_attempt_and_survives_a_change_of_secrets() {
        let text = secrets(&["old"]).sign(&token());
        assert_eq!(text.split('.').map(str::len).collect::<Vec<_>>(), [26, 1, 26]);
        assert_eq!(secrets(&["new", "old"]).verify(&text, Provider::Fal).unwrap().get(), &token());
        assert_eq!(secrets(&["new"]).verify(&text, Provider::Fal), Err(VerifyError::BadToken));
        assert_ne!(secrets(&["new", "old"]).sign(&token()), text);
    }

    #[test]
    fn a_token_is_good_at_the_path_of_its_own_provider_alone() {
        let secrets = secrets(&["s"]);
        for &provider in Provider::ALL {
            let text = secrets.sign(&Token { provider, ..token() });
            for &other in Provider::ALL {
                let verified = secrets.verify(&text, other);
                assert_eq!(verified.is_ok(), provider == other, "of {provider} at {other}");
                assert!(secrets.verify_old(&text, other).is_err(), "of {provider} at {other}");
            }
        }
    }

    #[test]
    fn a_token_of_an_older_release_is_known_as_such() {
        // Made by the release before: `job_7…`, attempt 2, secret `s`.
        let text = "a4dqobyha4dqobyha4dqobyha4.2.jwu3vkageostrncwvyhkex6twe";
        let secrets = secrets(&["s"]);
        assert_eq!(secrets.verify(text, Provider::Fal), Err(VerifyError::BadToken));
        assert_eq!(secrets.verify_old(text, Provider::Fal).unwrap().get(), &token());
        assert_eq!(secrets.verify_old(&text[..text.len() - 1], Provider::Fal), Err(VerifyError::BadToken));
    }

    #[test]
    fn a_token_has_one_spelling() {
        let secrets = secrets(&["s"]);
        let text = secrets.sign(&token());
        let (job, mac) = (&text[..26], &text[29..]);
        let others = [
            text.to_uppercase(),
            format!("{job}.02.{mac}"),
            format!("{job}.+2.{mac}"),
            format!("{job}.3.{mac}"),
            format!("{job}.2.{mac}.x"),
            format!("{job}.2."),
            format!("{job}.2"),
            format!("{text} "),
            text[..text.len() - 1].to_owned(),
            String::new(),
            "..".to_owned(),
        ];
        for other in others {
            assert_eq!(secrets.verify(&other, Provider::Fal), Err(VerifyError::BadToken), "{other}");
        }
    }

    #[test]
    fn an_empty_secret_is_refused() {
        assert!(CallbackSecrets::new(vec![]).is_err());
        assert!(CallbackSecrets::new(vec![Secret::new("a"), Secret::new("")]).is_err());
        assert_eq!(format!("{:?}", secrets(&["hush"])), "CallbackSecrets([[redacted]])");
    }
}
