//! The only reader of the environment.

use std::collections::BTreeMap;
use std::str::FromStr;

/// A process's environment variables. White space at the ends of a value is no part of it, as a key
/// that was pasted or read from a file ends in a line break; an empty one counts as not set.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<String, String>);

impl std::fmt::Debug for Env {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Every variable that is missing or wrong, at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment is not complete: {}", .0.join("; "))]
pub struct EnvError(Vec<String>);

impl Env {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]
    pub fn from_process() -> Self {
        Self(std::env::vars().collect())
    }

    pub fn from_pairs<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Sets a variable.
    pub fn with(mut self, name: &str, value: String) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// Sets what is not set yet.
    pub fn with_defaults(mut self, values: BTreeMap<String, String>) -> Self {
        for (name, value) in values {
            if self.get(&name).is_none() {
                self.0.insert(name, value);
            }
        }
        self
    }

    /// Reads settings and keeps what is wrong with them until the end, so that one start
    /// shows every mistake.
    pub fn reader(&self) -> Reader<'_> {
        Reader { env: self, problems: Vec::new() }
    }
}

/// Collects problems while settings are read; [`Reader::finish`] tells them.
#[derive(Debug)]
pub struct Reader<'a> {
    env: &'a Env,
    problems: Vec<String>,
}

impl Reader<'_> {
    /// The variable's value; an empty text stands in for a missing one until `finish`.
    pub fn required(&mut self, name: &str) -> String {
        let value = self.env.get(name);
        if value.is_none() {
            self.problems.push(format!("{name} is missing"));
        }
        value.unwrap_or_default().to_owned()
    }

    /// A key, which must be there and be one that can be sent: one that is not would be refused by
    /// its provider only after the first job.
    pub fn key(&mut self, name: &str) -> String {
        let key = self.required(name);
        if let Err(wrong) = check_key(name, &key) {
            self.problems.push(format!("{name} {wrong}"));
        }
        key
    }

    pub fn is_set(&self, name: &str) -> bool {
        self.env.get(name).is_some()
    }

    pub fn optional<T: FromStr>(&mut self, name: &str, what: &str) -> Option<T> {
        let value = self.env.get(name)?.parse();
        if value.is_err() {
            self.problems.push(format!("{name} must be {what}"));
        }
        value.ok()
    }

    pub fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    pub fn finish<T>(self, value: T) -> Result<T, EnvError> {
        if self.problems.is_empty() { Ok(value) } else { Err(EnvError(self.problems)) }
    }
}

/// Whether a key can be one: visible ASCII without blanks, or JSON where its variable says so.
///
/// # Errors
///
/// What is wrong with it, without a word of it.
pub fn check_key(name: &str, key: &str) -> Result<(), &'static str> {
    if name.ends_with("_JSON") {
        let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(key);
        return match key.is_empty() || object.is_ok() {
            true => Ok(()),
            false => Err("is malformed: it must be a JSON object"),
        };
    }
    match key.chars().all(|c| c.is_ascii_graphic()) {
        true => Ok(()),
        false => Err("is malformed: a key has only visible ASCII characters and no blanks"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_start_shows_every_mistake() {
        let env = Env::from_pairs([("A", ""), ("N", "x")]);
        let mut read = env.reader();
        assert_eq!((read.required("A"), read.required("B")), (String::new(), String::new()));
        assert_eq!(read.optional::<u8>("N", "a number"), None);
        let told = read.finish(()).unwrap_err().to_string();
        assert_eq!(told, "the environment is not complete: A is missing; B is missing; N must be a number");
    }

    #[test]
    fn a_default_fills_only_what_is_not_set() {
        let defaults = |pairs: [(&str, &str); 2]| pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let env = Env::from_pairs([("A", "1"), ("B", "")]);
        let env = env
            .with_defaults(defaults([("A", "2"), ("B", "2")]))
            .with_defaults(defaults([("B", "3"), ("C", "3")]));
        assert_eq!(["A", "B", "C"].map(|name| env.get(name)), [Some("1"), Some("2"), Some("3")]);
    }

    #[test]
    fn white_space_at_the_ends_of_a_value_is_no_part_of_it() {
        let env = Env::from_pairs([("A", " k\n"), ("B", " \n"), ("C", "\tk\r\n")]);
        assert_eq!(["A", "B", "C"].map(|name| env.get(name)), [Some("k"), None, Some("k")]);
    }

    #[test]
    fn a_malformed_key_is_named_and_not_printed() {
        let inside = ["s3\ncret", "s3 cret", "s3\u{a0}cret", "“s3cret”", "s3\u{200b}cret", "s3\0cret"];
        for key in inside {
            let env = Env::from_pairs([("FAL_KEY", key)]);
            let mut read = env.reader();
            read.key("FAL_KEY");
            let told = read.finish(()).unwrap_err().to_string();
            assert!(told.contains("FAL_KEY is malformed") && !told.contains("cret"), "{told}");
        }
        let json = "GOOGLE_APPLICATION_CREDENTIALS_JSON";
        for (name, key, is_good) in [
            ("FAL_KEY", "gmx_+/=-:.~", true),
            (json, "{\"a\":\n 1}\n", true),
            (json, "{\"a\"", false),
            (json, "key", false),
        ] {
            assert_eq!(check_key(name, key).is_ok(), is_good, "{name} {key}");
        }
    }

    #[test]
    fn values_are_not_printed() {
        assert!(!format!("{:?}", Env::from_pairs([("FAL_KEY", "s3cret")])).contains("s3cret"));
    }
}
