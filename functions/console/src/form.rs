//! The fields of a query and of a posted form.

use lambda_http::{Request, RequestExt};
use shared::edge::http::body_bytes;

/// Names and values, decoded. A posted field comes before one of the query.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) fn of(request: &Request) -> Self {
        let posted = form_urlencoded::parse(body_bytes(request));
        let posted = posted.map(|(name, value)| (name.into_owned(), value.into_owned()));
        let query = request.query_string_parameters();
        let query: Vec<_> = query.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self(posted.chain(query).collect())
    }

    pub(crate) fn new(fields: Vec<(String, String)>) -> Self {
        Self(fields)
    }

    /// A field that is not blank.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.trim());
        found.filter(|value| !value.is_empty())
    }

    #[cfg(test)]
    pub(crate) fn from_pairs<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }
}
