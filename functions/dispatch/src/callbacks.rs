//! Callback URLs.

use domain::job::Job;
use domain::provider::Provider;
use shared::boot::env::Reader;
use shared::boot::{StartError, config};
use shared::provider::{CallbackSecrets, Token, adapter};
use url::Url;

/// Builds the callback URLs of attempts. A provider that cannot reach us gets none and is polled.
#[derive(Debug)]
pub struct Callbacks {
    /// Base URL for real providers.
    pub public: Option<Url>,
    /// Base URL for simulators.
    pub local: Option<Url>,
    /// Providers that are simulators; only in the local stack.
    pub simulated: Vec<Provider>,
    pub secrets: CallbackSecrets,
}

impl Callbacks {
    pub(crate) fn read(read: &mut Reader<'_>) -> Result<Self, StartError> {
        Ok(Self {
            public: config::public_url(read, "WEBHOOK_BASE_URL"),
            local: config::public_url(read, "SIMULATED_CALLBACK_URL"),
            simulated: config::simulated(read),
            secrets: config::callback_secrets(read)?,
        })
    }

    /// The callback URL of a job's current attempt. It names job and attempt, so that a webhook finds
    /// them even if we crash before the remote job is recorded.
    pub(crate) fn url(&self, job: &Job, provider: Provider) -> Option<Url> {
        let base = self.base(provider)?;
        let token =
            self.secrets.sign(&Token { job: job.id().clone(), attempt: job.current_number(), provider });
        base.join(&format!("v1/webhooks/{provider}/{token}")).ok()
    }

    pub(crate) fn base(&self, provider: Provider) -> Option<&Url> {
        adapter(provider).capabilities().webhooks?;
        let base = if self.simulated.contains(&provider) { &self.local } else { &self.public };
        base.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use shared::boot::Env;

    use super::*;

    fn callbacks(pairs: &[(&str, &str)]) -> Callbacks {
        let secret = ("WEBHOOK_TOKEN_SECRET", "secret");
        let env = Env::from_pairs(pairs.iter().copied().chain([secret]));
        let mut read = env.reader();
        let callbacks = Callbacks::read(&mut read).unwrap();
        read.finish(callbacks).unwrap()
    }

    fn base(callbacks: &Callbacks, provider: Provider) -> Option<&str> {
        callbacks.base(provider).map(Url::as_str)
    }

    #[test]
    fn a_provider_gets_only_a_url_that_it_can_reach() {
        let local = [("SIMULATED_PROVIDERS", "fal"), ("SIMULATED_CALLBACK_URL", "http://127.0.0.1:8787")];
        let private = callbacks(&local);
        assert_eq!(base(&private, Provider::Fal), Some("http://127.0.0.1:8787/"));
        assert_eq!(base(&private, Provider::Kling), None);

        let public = [local[0], local[1], ("WEBHOOK_BASE_URL", "https://hooks.example")];
        let public = callbacks(&public);
        assert_eq!(base(&public, Provider::Fal), Some("http://127.0.0.1:8787/"));
        assert_eq!(base(&public, Provider::Kling), Some("https://hooks.example/"));
        assert_eq!(base(&public, Provider::Runway), None, "it sends no webhooks");
    }

    #[test]
    fn the_path_of_the_public_url_is_kept() {
        let account = "acct_anna".parse().unwrap();
        let id = domain::id::JobId::from_bytes([1; 16]);
        let (price, now) = (domain::credit::Credits::ONE, shared::boot::Clock::System.now());
        let job = Job::new(id, account, "veo-3.1".to_owned(), price, String::new(), now);
        for base in ["https://hooks.example/genmux", "https://hooks.example/genmux/"] {
            let url = callbacks(&[("WEBHOOK_BASE_URL", base)]).url(&job, Provider::Fal).unwrap();
            assert!(url.as_str().starts_with("https://hooks.example/genmux/v1/webhooks/fal/"), "{url}");
        }
    }
}
