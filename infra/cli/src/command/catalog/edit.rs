//! Changes to the text of an owner's catalogue: what the owner wrote stays as it is, comments included.

use anyhow::{Context, Result, bail};
use domain::catalog::sync::{Change, Key};
use domain::catalog::{Catalog, Tariff};
use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value, value};

/// The text with these changes to the catalogue in force that it is a part of.
pub(super) fn edited(text: &str, ours: &Catalog, changes: &[Change]) -> Result<String> {
    let mut document: DocumentMut = text.parse().context("it is not TOML")?;
    for change in changes {
        match change {
            Change::Amount { key, .. } => set(&mut document, ours, key, changes)?,
            Change::Gone { model, route } => remove(&mut document, ours, model, route, changes)?,
        }
    }
    Ok(document.to_string())
}

/// Writes the tariff of a key. One that the file does not have yet is written whole: a file replaces tariffs, not
/// single amounts.
fn set(document: &mut DocumentMut, ours: &Catalog, key: &Key, changes: &[Change]) -> Result<()> {
    let is_same = |other: &&Key| {
        (&other.model, &other.route, &other.resolution) == (&key.model, &key.route, &key.resolution)
    };
    let amount = |change| match change {
        &Change::Amount { ref key, theirs, .. } => Some((key, theirs)),
        Change::Gone { .. } => None,
    };
    let of_tariff: Vec<_> = changes.iter().filter_map(amount).filter(|(key, _)| is_same(key)).collect();
    let tariff = ours.tariff_with(&of_tariff).with_context(|| format!("there is no {key}"))?;
    let model = model_of(document, &key.model)?;
    let (place, name) = match &key.route {
        Some(route) => (route_of(model, ours, &key.model, route)?, "cost"),
        None => (model, "price"),
    };
    let tariffs = place.entry(name).or_insert(Item::Value(Value::InlineTable(InlineTable::new())));
    let tariffs = tariffs.as_table_like_mut().with_context(|| format!("`{name}` is no table"))?;
    let tariff = written(&tariff)?;
    match tariffs.get_mut(&key.resolution).and_then(Item::as_table_like_mut) {
        Some(known) => merge(known, &tariff),
        None => drop(tariffs.insert(&key.resolution, value(tariff))),
    }
    Ok(())
}

/// Changes the amounts that differ; comments, keys and other amounts stay as they are written.
fn merge(into: &mut dyn TableLike, tariff: &InlineTable) {
    for (name, new) in tariff {
        let Some(known) = into.get_mut(name) else {
            into.insert(name, value(new.clone()));
            continue;
        };
        match (new, known.as_integer()) {
            (Value::InlineTable(new), _) => {
                if let Some(known) = known.as_table_like_mut() {
                    merge(known, new);
                }
            }
            (Value::Integer(new), Some(amount)) if *new.value() != amount => {
                let mut changed = Value::from(*new.value());
                if let Some(old) = known.as_value() {
                    *changed.decor_mut() = old.decor().clone();
                }
                *known = Item::Value(changed);
            }
            _ => {}
        }
    }
}

/// Takes a route out of sale, or its model if no other route is left.
fn remove(
    document: &mut DocumentMut,
    ours: &Catalog,
    model: &str,
    route: &str,
    changes: &[Change],
) -> Result<()> {
    let is_gone = |name: &str| {
        changes.iter().any(|change| matches!(change, Change::Gone { route, .. } if route == name))
    };
    let routes = ours.model(model).map(|model| model.routes.as_slice()).unwrap_or_default();
    let is_last = routes.iter().all(|route| is_gone(&route.name()));
    let of_model = model_of(document, model)?;
    let place = if is_last { of_model } else { route_of(of_model, ours, model, route)? };
    place.insert("remove", value(true));
    Ok(())
}

/// The table of a model; a new one if the file does not name it.
fn model_of<'a>(document: &'a mut DocumentMut, name: &str) -> Result<&'a mut Table> {
    let models = document.entry("models").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let models = models.as_array_of_tables_mut().context("`models` must be written as [[models]]")?;
    let place = models.iter().position(|model| text_of(model, "name") == Some(name));
    let place = place.unwrap_or_else(|| {
        let mut model = Table::new();
        model.insert("name", value(name));
        models.push(model);
        models.len() - 1
    });
    models.get_mut(place).context("a model was just added")
}

/// The table of a route within its model's; a new one if the file does not name it.
fn route_of<'a>(model: &'a mut Table, ours: &Catalog, of: &str, name: &str) -> Result<&'a mut Table> {
    let known = ours.model(of).and_then(|model| model.routes.iter().find(|route| route.name() == name));
    let known = known.with_context(|| format!("there is no route {name}"))?;
    let (kind, endpoint) = match (&known.endpoint, &known.image_endpoint) {
        (Some(endpoint), _) => ("endpoint", endpoint),
        (None, Some(endpoint)) => ("image_endpoint", endpoint),
        (None, None) => bail!("route {name} has no endpoint"),
    };
    let routes = model.entry("routes").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let routes = routes.as_array_of_tables_mut().context("`routes` must be written as [[models.routes]]")?;
    let provider = known.provider.name();
    let is_it = |route: &Table| {
        text_of(route, "provider") == Some(provider) && text_of(route, kind) == Some(endpoint.as_str())
    };
    let place = routes.iter().position(is_it);
    let place = place.unwrap_or_else(|| {
        let mut route = Table::new();
        route.insert("provider", value(provider));
        route.insert(kind, value(endpoint));
        routes.push(route);
        routes.len() - 1
    });
    routes.get_mut(place).context("a route was just added")
}

fn text_of<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    table.get(key)?.as_str()
}

/// A tariff as a file has it.
fn written(tariff: &Tariff) -> Result<InlineTable> {
    let Tariff { per_second, per_second_audio, by_length, per_image, lengths_s } = tariff;
    let number = |amount: u64| i64::try_from(amount).context("an amount does not fit into a file");
    let mut table = InlineTable::new();
    let rates =
        [("per_second", per_second), ("per_second_audio", per_second_audio), ("per_image", per_image)];
    for (name, amount) in rates {
        if let Some(amount) = amount {
            table.insert(name, number(*amount)?.into());
        }
    }
    if !by_length.is_empty() {
        let mut lengths = InlineTable::new();
        for (length, amount) in by_length {
            lengths.insert(length, number(*amount)?.into());
        }
        table.insert("by_length", lengths.into());
    }
    if !lengths_s.is_empty() {
        let lengths: toml_edit::Array = lengths_s.iter().map(|seconds| i64::from(*seconds)).collect();
        table.insert("lengths_s", lengths.into());
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use domain::catalog::sync::Rate;

    use super::*;

    fn price(model: &str, rate: Rate, theirs: u64) -> Change {
        let (model, resolution) = (model.to_owned(), "720p".to_owned());
        Change::Amount { key: Key { model, route: None, resolution, rate }, ours: 0, theirs }
    }

    fn gone(model: &str, route: &str) -> Change {
        Change::Gone { model: model.to_owned(), route: route.to_owned() }
    }

    /// The text after the changes, and the catalogue that it makes.
    fn changed(text: &str, changes: &[Change]) -> (String, Catalog) {
        let text = edited(text, &Catalog::with_own(text).unwrap(), changes).unwrap();
        let catalog = Catalog::with_own(&text).unwrap_or_else(|wrong| panic!("{text}: {wrong}"));
        (text, catalog)
    }

    #[test]
    fn an_amount_is_changed_where_it_stands_and_all_else_stays() {
        let text = "# ours\n[[models]]\nname = \"veo-3.1-fast\" # fast\n\n[models.price]\n\"720p\" = { per_second = 15_000_000, per_second_audio = 22_000_000 } # less\n";
        let change = [price("veo-3.1-fast", Rate::PerSecond, 16_000_000)];
        let (edited, catalog) = changed(text, &change);
        assert_eq!(edited, text.replace("15_000_000", "16000000"));
        let apart = "[[models]]\nname = \"veo-3.1-fast\"\n[models.price.720p] # less\nper_second = 15_000_000 # a second\nper_second_audio = 22_000_000\n";
        assert_eq!(changed(apart, &change).0, apart.replace("15_000_000", "16000000"));
        let price = &catalog.model("veo-3.1-fast").unwrap().price["720p"];
        assert_eq!((price.per_second, price.per_second_audio), (Some(16_000_000), Some(22_000_000)));
    }

    #[test]
    fn what_the_file_does_not_name_is_added_with_its_whole_tariff() {
        let changes = [
            price("veo-3.1-fast", Rate::PerSecond, 1_000),
            price("veo-3.1-fast", Rate::PerSecondAudio, 2_000),
        ];
        let (edited, catalog) = changed("", &changes);
        let price = &catalog.model("veo-3.1-fast").unwrap().price["720p"];
        assert_eq!((price.per_second, price.per_second_audio), (Some(1_000), Some(2_000)), "{edited}");
        let endpoint = "fal-ai/minimax/hailuo-2.3/pro/text-to-video";
        let key = Key {
            model: "hailuo-2.3".to_owned(),
            route: Some(format!("fal/{endpoint}")),
            resolution: "1080p".to_owned(),
            rate: Rate::Length(6),
        };
        let (_, catalog) = changed(&edited, &[Change::Amount { key: key.clone(), ours: 0, theirs: 500_000 }]);
        assert_eq!(catalog.amount(&key), Some(500_000));
        assert_eq!(catalog.model("veo-3.1-fast").unwrap().price["720p"].per_second, Some(1_000));
    }

    #[test]
    fn a_route_that_is_gone_is_out_of_sale_and_so_is_its_model_after_the_last() {
        let veo = Catalog::built_in().model("veo-3.1").unwrap().clone();
        let (_, catalog) = changed("", &[gone("veo-3.1", &veo.routes[0].name())]);
        assert_eq!(catalog.model("veo-3.1").unwrap().routes.len(), veo.routes.len() - 1);
        assert!(catalog.route(&veo.routes[0].name()).is_some(), "attempts that run there go on");
        let all: Vec<_> = veo.routes.iter().map(|route| gone("veo-3.1", &route.name())).collect();
        let (_, catalog) = changed("", &all);
        assert!(catalog.model("veo-3.1").is_none());
    }

    #[test]
    fn a_file_in_another_form_is_not_guessed_at() {
        let changes = [price("veo-3.1-fast", Rate::PerSecond, 1)];
        for (text, wrong) in [("models = []", "[[models]]"), ("[[models", "not TOML")] {
            let found = edited(text, &Catalog::built_in(), &changes).unwrap_err();
            assert!(format!("{found:#}").contains(wrong), "{found:#}");
        }
    }
}
