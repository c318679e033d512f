//! An owner's own catalogue: a file in the form of `catalog.toml` that adds models, routes and
//! prices to the compiled-in catalogue, or replaces parts of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use toml::{Spanned, Table, Value};

use super::{BUILT_IN, Catalog, Model, Retired, Route};

/// Keys of a table whose own keys are merged, not replaced as a whole.
const MERGED: [&str; 4] = ["cost", "defaults", "fields", "price"];
const NAME_MAX: usize = 64;

/// A mistake in an owner's catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line of the file, from 1: where the table with the mistake begins.
    pub line: usize,
    /// The model, and the route if it is about one; empty if it is about the file.
    pub place: String,
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, place, problem } = self;
        let colon = if place.is_empty() { "" } else { ": " };
        write!(f, "line {line}: {place}{colon}{problem}")
    }
}

/// Every mistake of an owner's catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.0.iter().map(Mistake::to_string).collect();
        f.write_str(&all.join("; "))
    }
}

impl std::error::Error for Mistakes {}

impl Catalog {
    /// The compiled-in catalogue with an owner's own on top.
    ///
    /// A model of a new name is added. Of a model that exists, what the file gives replaces what was
    /// there, and the rest stays: prices and costs by resolution, routes by provider and endpoint.
    /// `remove = true` takes a model or a route out of what is sold; attempts that run there go on.
    ///
    /// # Errors
    ///
    /// All mistakes, each with its line.
    pub fn with_own(text: &str) -> Result<Self, Mistakes> {
        let lines = Lines::of(text).map_err(|mistake| Mistakes(vec![mistake]))?;
        let mut own = Own {
            lines,
            mistakes: Vec::new(),
            models: BTreeMap::new(),
            retired: Vec::new(),
            unsold: Vec::new(),
            named: BTreeMap::new(),
        };
        own.add_built_in();
        own.add(toml::from_str(text).unwrap_or_default());
        own.finish()
    }
}

/// Where the tables of a file begin.
struct Lines<'t> {
    text: &'t str,
    places: Places,
}

#[derive(Deserialize)]
struct Places {
    #[serde(default)]
    models: Vec<Spanned<Place>>,
    #[serde(default)]
    retired: Vec<Spanned<IgnoredAny>>,
}

#[derive(Deserialize)]
struct Place {
    #[serde(default)]
    routes: Vec<Spanned<IgnoredAny>>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Result<Self, Mistake> {
        let wrong = |error: toml::de::Error| {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            Mistake { line, place: String::new(), problem: error.message().trim().to_owned() }
        };
        let places = toml::from_str(text).map_err(wrong)?;
        Ok(Self { text, places })
    }

    fn model(&self, n: usize) -> usize {
        self.places.models.get(n).map_or(1, |model| line_of(self.text, model.span().start))
    }

    fn route(&self, model: usize, n: usize) -> usize {
        let model = self.places.models.get(model).map(|model| model.get_ref());
        let route = model.and_then(|model| model.routes.get(n));
        route.map_or(1, |route| line_of(self.text, route.span().start))
    }

    fn retired(&self, n: usize) -> usize {
        self.places.retired.get(n).map_or(1, |retired| line_of(self.text, retired.span().start))
    }
}

fn line_of(text: &str, byte: usize) -> usize {
    text.as_bytes().iter().take(byte).filter(|byte| **byte == b'\n').count() + 1
}

/// The catalogue while a file is merged into it.
struct Own<'t> {
    lines: Lines<'t>,
    mistakes: Vec<Mistake>,
    models: BTreeMap<String, Table>,
    retired: Vec<Retired>,
    unsold: Vec<Table>,
    /// The lines of the models that the file names.
    named: BTreeMap<String, usize>,
}

impl Own<'_> {
    fn add_built_in(&mut self) {
        #[derive(Deserialize)]
        struct File {
            models: Vec<Table>,
            retired: Vec<Retired>,
        }
        let file: File = toml::from_str(BUILT_IN).expect("a test parses the catalogue that is compiled in");
        self.models = file.models.into_iter().map(|model| (text_of(&model, "name"), model)).collect();
        self.retired = file.retired;
    }

    fn mistake(&mut self, line: usize, place: impl Into<String>, problem: impl Into<String>) {
        self.mistakes.push(Mistake { line, place: place.into(), problem: problem.into() });
    }

    fn add(&mut self, mut file: Table) {
        for (n, model) in tables(file.remove("models")).into_iter().enumerate() {
            self.add_model(n, model);
        }
        for (n, retired) in tables(file.remove("retired")).into_iter().enumerate() {
            self.add_retired(n, retired);
        }
        for name in file.keys() {
            self.mistake(1, "", format!("`{name}` is unknown: a catalogue has `models` and `retired`"));
        }
    }

    fn add_retired(&mut self, n: usize, retired: Table) {
        let (line, place) = (self.lines.retired(n), format!("retired `{}`", text_of(&retired, "name")));
        match read::<Retired>(retired) {
            Ok(retired) => {
                if let Some(other) = self.named.get(&retired.name) {
                    self.mistake(line, place, format!("is a model too, on line {other}"));
                } else if let Some(missing) = self.missing(&retired.instead, &retired.name) {
                    self.mistake(line, place, format!("is replaced by `{missing}`, which does not exist"));
                }
                self.retired.retain(|old| old.name != retired.name);
                self.unsold.extend(self.models.remove(&retired.name));
                self.retired.push(retired);
            }
            Err(problem) => self.mistake(line, place, problem),
        }
    }

    fn add_model(&mut self, n: usize, mut own: Table) {
        let (line, name) = (self.lines.model(n), text_of(&own, "name"));
        let place = format!("model `{name}`");
        if !is_name(&name) {
            return self.mistake(line, place, "needs a `name` of 1 to 64 of a-z, 0-9, `.`, `_` and `-`");
        }
        if let Some(other) = self.named.insert(name.clone(), line) {
            return self.mistake(line, place, format!("is named already, on line {other}"));
        }
        match is_removed(&mut own) {
            Err(problem) => return self.mistake(line, place, problem),
            Ok(true) => {
                return match self.models.remove(&name) {
                    Some(model) => self.unsold.push(model),
                    None => self.mistake(line, place, "does not exist and cannot be removed"),
                };
            }
            Ok(false) => {}
        }
        let new = || Table::from_iter([("name".to_owned(), Value::from(name.clone()))]);
        let mut model = self.models.remove(&name).unwrap_or_else(new);
        let (known, added) = (tables(model.remove("routes")), tables(own.remove("routes")));
        let mistakes = self.mistakes.len();
        let routes = self.merge_routes(n, &model, known, added);
        merge(&mut model, own);
        model.insert("routes".to_owned(), Value::Array(routes.into_iter().map(Value::Table).collect()));
        match read::<Model>(model.clone()) {
            // Without a broken route, others may seem wrong.
            Ok(read) if mistakes == self.mistakes.len() => {
                if let Err(problem) = read.check() {
                    self.mistake(line, place, problem);
                }
            }
            Ok(_) => {}
            Err(problem) => self.mistake(line, place, problem),
        }
        self.retired.retain(|old| old.name != name);
        self.models.insert(name, model);
    }

    fn merge_routes(
        &mut self,
        n: usize,
        model: &Table,
        mut routes: Vec<Table>,
        own: Vec<Table>,
    ) -> Vec<Table> {
        for (m, mut own) in own.into_iter().enumerate() {
            let (line, name) = (self.lines.route(n, m), route_name(&own));
            let place = format!("model `{}`, route `{name}`", text_of(model, "name"));
            let known = routes.iter().position(|route| route_name(route) == name);
            match (is_removed(&mut own), known) {
                (Ok(false), _) => {}
                (Ok(true), Some(known)) => {
                    let mut unsold = model.clone();
                    unsold.insert("routes".to_owned(), vec![routes.remove(known)].into());
                    self.unsold.push(unsold);
                    continue;
                }
                (Ok(true), None) => {
                    self.mistake(line, place, "does not exist and cannot be removed");
                    continue;
                }
                (Err(problem), _) => {
                    self.mistake(line, place, problem);
                    continue;
                }
            }
            let mut route = known.map(|known| routes[known].clone()).unwrap_or_default();
            merge(&mut route, own);
            let checked = read::<Route>(route.clone()).and_then(|route| route.check_names());
            match (checked, known) {
                (Err(problem), _) => self.mistake(line, place, problem),
                (Ok(()), Some(known)) => routes[known] = route,
                (Ok(()), None) => routes.push(route),
            }
        }
        routes
    }

    /// The first of the replacements that is no model, or the model itself.
    fn missing<'n>(&self, instead: &'n [String], of: &str) -> Option<&'n String> {
        instead.iter().find(|name| *name == of || !self.models.contains_key(*name))
    }

    fn finish(mut self) -> Result<Catalog, Mistakes> {
        let readable = self.models.iter();
        let models: BTreeMap<String, Model> =
            readable.filter_map(|(name, model)| Some((name.clone(), read(model.clone()).ok()?))).collect();
        let mut routes: BTreeMap<String, &str> = BTreeMap::new();
        for (model, route) in models.values().flat_map(|model| model.routes.iter().map(move |it| (model, it)))
        {
            let name = route.name();
            let Some(other) = routes.insert(name.clone(), &model.name) else { continue };
            // The file has named at least one of the two.
            let (own, other) = match self.named.contains_key(&model.name) {
                true => (&*model.name, other),
                false => (other, &*model.name),
            };
            let line = self.named.get(own).copied().unwrap_or(1);
            self.mistake(line, format!("model `{own}`"), format!("route `{name}` is one of `{other}` too"));
        }
        for (name, line) in self.named.clone() {
            let Some(model) = models.get(&name) else { continue };
            if let Some(missing) = self.missing(&model.instead, &name) {
                let problem = format!("is replaced by `{missing}`, which does not exist");
                self.mistake(line, format!("model `{name}`"), problem);
            }
        }
        let Self { mistakes, retired, unsold, .. } = self;
        let unsold = unsold.into_iter().filter_map(|model| read(model).ok()).collect();
        if mistakes.is_empty() { Ok(Catalog { models, retired, unsold }) } else { Err(Mistakes(mistakes)) }
    }
}

/// The tables of a list; a value of another form was found by [`Lines::of`].
fn tables(value: Option<Value>) -> Vec<Table> {
    let Some(Value::Array(values)) = value else { return Vec::new() };
    values.into_iter().filter_map(|value| value.try_into().ok()).collect()
}

fn text_of(table: &Table, key: &str) -> String {
    table.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// As [`Route::name`], of a route that is not read yet.
fn route_name(route: &Table) -> String {
    let endpoint = if route.contains_key("endpoint") { "endpoint" } else { "image_endpoint" };
    format!("{}/{}", text_of(route, "provider"), text_of(route, endpoint))
}

fn is_removed(table: &mut Table) -> Result<bool, &'static str> {
    match table.remove("remove") {
        None => Ok(false),
        Some(remove) => remove.as_bool().ok_or("`remove` must be true or false"),
    }
}

fn is_name(name: &str) -> bool {
    let is_in = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_in)
}

fn merge(into: &mut Table, own: Table) {
    for (key, value) in own {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(known)), Value::Table(own)) if MERGED.contains(&&*key) => known.extend(own),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

/// # Errors
///
/// The path of the key, and what is wrong with its value.
fn read<T: DeserializeOwned>(table: Table) -> Result<T, String> {
    serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
        let (path, problem) = (error.path().to_string(), error.inner().message().trim().to_owned());
        if path == "." { problem } else { format!("{path}: {problem}") }
    })
}

#[cfg(test)]
mod tests;
