//! What an API key may order: a list of models and a list of providers.

use serde::{Deserialize, Serialize};

use super::catalog::Catalog;
use super::provider::Provider;
use super::request::{FieldError, JobRequest};
use super::route::offered;

/// The models and providers of a key. An absent list allows all. Its fields are those of a stored key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Allowed {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub providers: Option<Vec<Provider>>,
}

impl Allowed {
    /// Each field of a valid request that the key may not order.
    pub fn check(&self, request: &JobRequest, catalog: &Catalog) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        if let Some(models) = &self.models {
            let refuse = |field, detail: &str| wrong(field, detail, models.clone());
            if !models.contains(&request.model) {
                errors.push(refuse("model", "is not a model that this key may order"));
            }
            if request.fallback_models.iter().any(|model| !models.contains(model)) {
                errors.push(refuse("fallback_models", "has a model that this key may not order"));
            }
        }
        if let Some(providers) = &self.providers {
            let names = || providers.iter().map(|provider| provider.name().to_owned()).collect();
            if request.provider.is_some_and(|provider| !providers.contains(&provider)) {
                errors.push(wrong("provider", "is not a provider that this key may use", names()));
            }
            let there = JobRequest { providers: providers.clone(), ..request.clone() };
            if errors.is_empty() && offered(&there, catalog).is_empty() {
                errors.push(wrong("model", "has no route at the providers that this key may use", names()));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

fn wrong(field: &'static str, detail: &str, allowed: Vec<String>) -> FieldError {
    FieldError { field: field.into(), detail: detail.to_owned(), allowed }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked(allowed: &Allowed, order: Value) -> Result<(), Vec<String>> {
        let catalog = Catalog::for_providers(Provider::ALL);
        let request = JobRequest::new(serde_json::from_value(order).unwrap(), &catalog).unwrap();
        let fields = |errors: Vec<FieldError>| errors.iter().map(|error| error.field.to_string()).collect();
        allowed.check(&request, &catalog).map_err(fields)
    }

    #[test]
    fn a_key_orders_its_models_at_its_providers() {
        let veo = |more: Value| {
            let mut order = json!({"model": "veo-3.1", "prompt": "a"});
            order.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            order
        };
        assert_eq!(checked(&Allowed::default(), veo(json!({}))), Ok(()));
        let allowed =
            Allowed { models: Some(vec!["veo-3.1".to_owned()]), providers: Some(vec![Provider::Runway]) };
        assert_eq!(checked(&allowed, veo(json!({}))), Ok(()));
        assert_eq!(checked(&allowed, veo(json!({"provider": "fal"}))), Err(vec!["provider".to_owned()]));
        let fallback = veo(json!({"fallback_models": ["veo-3.1-fast"]}));
        assert_eq!(checked(&allowed, fallback), Err(vec!["fallback_models".to_owned()]));
        let other = json!({"model": "pika-2.2", "prompt": "a"});
        assert_eq!(checked(&allowed, other.clone()), Err(vec!["model".to_owned()]));
        let elsewhere = Allowed { models: None, ..allowed };
        assert_eq!(checked(&elsewhere, other), Err(vec!["model".to_owned()]), "no route there");
    }
}
