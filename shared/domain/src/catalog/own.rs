//! An owner's own catalogue: a file in the form of `catalog.toml` that adds models, routes and
//! prices to the compiled-in catalogue, or replaces parts of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Spanned, Table, Value};

use super::{BUILT_IN, Catalog, Model, Retired, Route};
use crate::payment::offer::Topups;
use crate::time::Timestamp;

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
        let mut own = Own { lines, ..Own::of_built_in() };
        own.add(toml::from_str(text).unwrap_or_default());
        own.finish()
    }
}

/// Where the tables of a file begin.
#[derive(Default)]
struct Lines {
    models: Vec<(usize, Vec<usize>)>,
    retired: Vec<usize>,
    topups: usize,
}

#[derive(Deserialize)]
struct Places {
    #[serde(default)]
    models: Vec<Spanned<Place>>,
    #[serde(default)]
    retired: Vec<Spanned<Table>>,
    #[serde(default)]
    topups: Option<Spanned<Table>>,
}

#[derive(Deserialize)]
struct Place {
    #[serde(default)]
    routes: Vec<Spanned<Table>>,
}

impl Lines {
    fn of(text: &str) -> Result<Self, Mistake> {
        let ends: Vec<usize> =
            text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect();
        let line = |byte: usize| ends.partition_point(|end| *end < byte) + 1;
        let wrong = |error: toml::de::Error| {
            let line = line(error.span().map_or(0, |span| span.start));
            Mistake { line, place: String::new(), problem: error.message().trim().to_owned() }
        };
        let places: Places = toml::from_str(text).map_err(wrong)?;
        let model = |model: &Spanned<Place>| {
            let routes = model.get_ref().routes.iter().map(|route| line(route.span().start));
            (line(model.span().start), routes.collect())
        };
        let models = places.models.iter().map(model).collect();
        let retired = places.retired.iter().map(|it| line(it.span().start)).collect();
        let topups = places.topups.map_or(1, |it| line(it.span().start));
        Ok(Self { models, retired, topups })
    }
}

/// The catalogue while a file is merged into it.
#[derive(Default)]
struct Own {
    lines: Lines,
    mistakes: Vec<Mistake>,
    notes: Vec<String>,
    models: BTreeMap<String, Table>,
    retired: Vec<Retired>,
    topups: Topups,
    unsold: Vec<Table>,
    /// The lines of the models and of the retired ones that the file names.
    named: BTreeMap<String, usize>,
    retires: BTreeMap<String, usize>,
}

impl Own {
    fn of_built_in() -> Self {
        #[derive(Deserialize)]
        struct File {
            models: Vec<Table>,
            retired: Vec<Retired>,
            topups: Topups,
        }
        let file: File = serde_json::from_str(BUILT_IN).expect("a test reads what is compiled in");
        let models = file.models.into_iter().map(|model| (text_of(&model, "name"), model)).collect();
        Self { models, retired: file.retired, topups: file.topups, ..Self::default() }
    }

    fn mistake(&mut self, line: usize, place: impl Into<String>, problem: impl Into<String>) {
        self.mistakes.push(Mistake { line, place: place.into(), problem: problem.into() });
    }

    /// What is not wrong, and without effect.
    fn note(&mut self, line: usize, place: impl Into<String>, problem: impl Into<String>) {
        self.notes.push(Mistake { line, place: place.into(), problem: problem.into() }.to_string());
    }

    fn add(&mut self, mut file: Table) {
        let (models, retired) = (tables(file.remove("models")), tables(file.remove("retired")));
        if let Some(topups) = file.remove("topups") {
            self.replace_topups(topups);
        }
        for name in file.keys() {
            self.mistake(
                1,
                "",
                format!("`{name}` is unknown: a catalogue has `models`, `retired` and `topups`"),
            );
        }
        let Lines { models: of_models, retired: of_retired, .. } = std::mem::take(&mut self.lines);
        for (model, (line, routes)) in models.into_iter().zip(of_models) {
            self.add_model(line, &routes, model);
        }
        for (retired, line) in retired.into_iter().zip(of_retired) {
            self.add_retired(line, retired);
        }
    }

    /// An owner sells what the file says, and nothing else.
    fn replace_topups(&mut self, own: Value) {
        let read = own.try_into::<Topups>().map_err(|error| error.message().to_owned());
        match read.and_then(|topups| topups.check().map(|()| topups)) {
            Ok(topups) => self.topups = topups,
            Err(problem) => {
                let line = self.lines.topups;
                self.mistake(line, "topups", problem);
            }
        }
    }

    fn add_retired(&mut self, line: usize, retired: Table) {
        let place = format!("retired `{}`", text_of(&retired, "name"));
        let retired = match read::<Retired>(retired) {
            Ok(retired) => retired,
            Err(problem) => return self.mistake(line, place, problem),
        };
        let name = &retired.name;
        let is_sold = self.models.contains_key(name) && self.named.contains_key(name);
        if let Some(other) = self.retires.insert(name.clone(), line) {
            self.mistake(line, place, format!("is named already, on line {other}"));
        } else if let Some(other) = self.named.get(name).filter(|_| is_sold).copied() {
            self.mistake(line, place, format!("is a model too, on line {other}"));
        } else if Timestamp::of_day(&retired.since).is_none() {
            self.mistake(
                line,
                place,
                format!("`since` must be a day like 2027-03-01, not `{}`", retired.since),
            );
        }
        self.retired.retain(|old| old.name != retired.name);
        self.unsold.extend(self.models.remove(&retired.name));
        self.retired.push(retired);
    }

    fn add_model(&mut self, line: usize, of_routes: &[usize], mut own: Table) {
        let name = text_of(&own, "name");
        let place = format!("model `{name}`");
        if !is_name(&name) {
            return self.mistake(line, place, "needs a `name` of 1 to 64 of a-z, 0-9, `.`, `_` and `-`");
        }
        if let Some(other) = self.named.insert(name.clone(), line) {
            return self.mistake(line, place, format!("is named already, on line {other}"));
        }
        let is_removed = match is_removed(&mut own) {
            Ok(is_removed) => is_removed,
            Err(problem) => return self.mistake(line, place, problem),
        };
        let (is_new, is_bare) = (!self.models.contains_key(&name), own.len() == 1);
        let is_partial = !own.contains_key("routes");
        let new = || Table::from_iter([("name".to_owned(), Value::from(name.clone()))]);
        let mut model = self.models.remove(&name).unwrap_or_else(new);
        let (known, added) = (tables(model.remove("routes")), tables(own.remove("routes")));
        let mistakes = self.mistakes.len();
        let (routes, removed) = self.merge_routes(&name, of_routes, known, added);
        let priced = keys_of(&own, "price");
        merge(&mut model, own);
        if !removed.is_empty() {
            self.unsold.push(with_routes(&model, removed));
        }
        let model = with_routes(&model, routes);
        match read::<Model>(model.clone()) {
            Ok(_) if is_removed => return self.unsold.push(model),
            // Without a broken route, others may seem wrong.
            Ok(read) if mistakes == self.mistakes.len() => {
                if let Err(problem) = read.check().and_then(|()| read.has_resolutions(&priced)) {
                    self.mistake(line, place, problem);
                }
            }
            Ok(_) => {}
            Err(_) if is_removed && is_new && is_bare => {
                return self.note(line, place, "does not exist: nothing is removed");
            }
            Err(_) if is_new && is_partial && self.retired.iter().any(|old| old.name == name) => {
                return self.note(line, place, "is retired: nothing is changed");
            }
            Err(problem) => return self.mistake(line, place, problem),
        }
        self.retired.retain(|old| old.name != name);
        self.models.insert(name, model);
    }

    /// The routes of a model, and those that are taken out of sale.
    fn merge_routes(
        &mut self,
        model: &str,
        lines: &[usize],
        mut routes: Vec<Table>,
        own: Vec<Table>,
    ) -> (Vec<Table>, Vec<Table>) {
        let (mut removed, mut named) = (Vec::new(), BTreeMap::new());
        for (mut own, line) in own.into_iter().zip(lines.iter().copied()) {
            let name = route_name(&own);
            let place = format!("model `{model}`, route `{name}`");
            if let Some(other) = named.insert(name.clone(), line) {
                self.mistake(line, place, format!("is named already, on line {other}"));
                continue;
            }
            let is_removed = match is_removed(&mut own) {
                Ok(is_removed) => is_removed,
                Err(problem) => {
                    self.mistake(line, place, problem);
                    continue;
                }
            };
            let known = routes.iter().position(|route| route_name(route) == name);
            let is_bare =
                own.keys().all(|key| matches!(key.as_str(), "provider" | "endpoint" | "image_endpoint"));
            let mut route = known.map(|known| routes[known].clone()).unwrap_or_default();
            merge(&mut route, own);
            match (read::<Route>(route.clone()).and_then(|route| route.check()), known) {
                (Ok(()), known) if is_removed => {
                    removed.push(route);
                    known.map(|known| routes.remove(known));
                }
                (Ok(()), Some(known)) => routes[known] = route,
                (Ok(()), None) => routes.push(route),
                (Err(_), None) if is_removed && is_bare => {
                    self.note(line, place, "does not exist: nothing is removed");
                }
                (Err(problem), _) => self.mistake(line, place, problem),
            }
        }
        (routes, removed)
    }

    /// The first of the replacements that is no model, or the model itself.
    fn missing(&self, instead: &[String], of: &str) -> Option<String> {
        instead.iter().find(|name| *name == of || !self.models.contains_key(*name)).cloned()
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
        let of_models = self.named.iter().filter_map(|(name, line)| {
            Some((*line, format!("model `{name}`"), self.missing(&models.get(name)?.instead, name)?))
        });
        let of_retired = self.retired.iter().filter_map(|old| {
            let line = *self.retires.get(&old.name)?;
            Some((line, format!("retired `{}`", old.name), self.missing(&old.instead, &old.name)?))
        });
        for (line, place, missing) in of_models.chain(of_retired).collect::<Vec<_>>() {
            self.mistake(line, place, format!("is replaced by `{missing}`, which does not exist"));
        }
        let Self { mistakes, retired, unsold, notes, topups, .. } = self;
        let unsold = unsold.into_iter().filter_map(|model| read(model).ok()).collect();
        if mistakes.is_empty() {
            Ok(Catalog { models, retired, unsold, notes, topups })
        } else {
            Err(Mistakes(mistakes))
        }
    }
}

fn with_routes(model: &Table, routes: Vec<Table>) -> Table {
    let mut model = model.clone();
    model.insert("routes".to_owned(), routes.into());
    model
}

/// The keys of a table within a table.
fn keys_of(table: &Table, name: &str) -> Vec<String> {
    let inner = table.get(name).and_then(Value::as_table);
    inner.map(|inner| inner.keys().cloned().collect()).unwrap_or_default()
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
