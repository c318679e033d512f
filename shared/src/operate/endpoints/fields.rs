//! The fields of an endpoint, checked.

use domain::endpoint::Kind;
use domain::event::{Pattern, TYPES};
use domain::request::FieldError;

use super::{Refusal, Rules};

const DESCRIPTION_CHARS_MAX: usize = 256;
const TYPES_MAX: usize = 20;

/// The fields as they were given.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The address, for kinds that take a URL.
    pub url: Option<String>,
    /// The address, for the others.
    pub to: Option<String>,
    pub types: Option<Vec<String>>,
    pub description: Option<String>,
}

/// The fields that were given, parsed.
#[derive(Debug, Clone)]
pub struct Named {
    pub address: Option<String>,
    pub types: Option<Vec<Pattern>>,
}

/// All mistakes in one sentence.
pub(super) fn sentence(errors: &[FieldError]) -> String {
    errors.iter().map(FieldError::to_string).collect::<Vec<_>>().join("; ")
}

impl Given {
    /// Parses what was given; with `must`, an address is required.
    pub(super) fn named(&self, rules: Rules<'_>, kind: Kind, must: bool) -> Result<Named, Refusal> {
        // A kind that was offered once may be changed.
        if must && !rules.offers.kinds().contains(&kind) {
            let detail =
                format!("cannot be `{}`: the operator has set up nothing to send it with", kind.name());
            let allowed = rules.offers.kinds().iter().map(|kind| kind.name().to_owned()).collect();
            return Err(Refusal::Fields(vec![FieldError { field: "kind".into(), detail, allowed }]));
        }
        let mut errors = Vec::new();
        let address = self.address(rules, kind, must).unwrap_or_else(|error| {
            errors.push(error);
            None
        });
        let types = self.types.as_deref().map(|types| patterns(types, &mut errors));
        if self.description.as_ref().is_some_and(|text| text.chars().count() > DESCRIPTION_CHARS_MAX) {
            errors
                .push(wrong("description", format!("must have at most {DESCRIPTION_CHARS_MAX} characters")));
        }
        if errors.is_empty() { Ok(Named { address, types }) } else { Err(Refusal::Fields(errors)) }
    }

    /// The address, in the field of its kind; `None` if there is none and need not be.
    fn address(&self, rules: Rules<'_>, kind: Kind, must: bool) -> Result<Option<String>, FieldError> {
        let name = kind.name();
        let Some(field) = kind.field() else { return self.no_address(name, must) };
        let (given, other, stray) = match field {
            "url" => (&self.url, "to", &self.to),
            _ => (&self.to, "url", &self.url),
        };
        if stray.is_some() {
            return Err(wrong(other, format!("is not for `{name}`, which takes `{field}`")));
        }
        match given {
            None if must => Err(wrong(field, format!("is missing: it is the address of a `{name}`"))),
            None => Ok(None),
            Some(text) => match kind.address(text, rules.reach) {
                Ok(address) if rules.offers.allows(kind, &address) => Ok(Some(address)),
                Ok(_) => Err(wrong(field, "is not among the targets that the operator allows".to_owned())),
                Err(why) if field == "url" => {
                    Err(wrong(field, format!("must be an https URL on port 443 or above 1023: {why}")))
                }
                Err(why) => Err(wrong(field, format!("is no address of a `{name}`: {why}"))),
            },
        }
    }

    /// The empty address of a kind that has none.
    fn no_address(&self, name: &str, must: bool) -> Result<Option<String>, FieldError> {
        for (field, given) in [("url", &self.url), ("to", &self.to)] {
            if given.is_some() {
                return Err(wrong(field, format!("is not for `{name}`, which has no address")));
            }
        }
        Ok(must.then(String::new))
    }
}

fn wrong(field: &'static str, detail: String) -> FieldError {
    FieldError { field: field.into(), detail, allowed: Vec::new() }
}

fn patterns(types: &[String], errors: &mut Vec<FieldError>) -> Vec<Pattern> {
    if types.is_empty() || types.len() > TYPES_MAX {
        errors.push(wrong("types", format!("must name 1 to {TYPES_MAX} types of events")));
    }
    types.iter().map(|text| text.parse()).collect::<Result<_, _>>().unwrap_or_else(|why| {
        let known = ["*", "job.*", "inbound.*"].into_iter().chain(TYPES).map(str::to_owned).collect();
        let detail = format!("names one that is {why}");
        errors.push(FieldError { allowed: known, ..wrong("types", detail) });
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use domain::endpoint::Offers;
    use domain::public_url::Reach;

    use super::*;

    #[test]
    fn one_answer_names_every_field_that_cannot_be_so() {
        let rules = Rules { reach: Reach::Public, offers: &Offers::default() };
        let given = Given {
            url: Some("http://localhost".to_owned()),
            types: Some(vec!["jobs".to_owned()]),
            description: Some("x".repeat(257)),
            ..Given::default()
        };
        let refused = given.named(rules, Kind::Webhook, false).unwrap_err().to_string();
        for part in
            ["`url` must be an https URL", "; `types` names one that is", ", job.*, ", "; `description` must"]
        {
            assert!(refused.contains(part), "{refused}");
        }
    }
}
