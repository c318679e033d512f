//! The API's documents as judges of answers: as much of JSON Schema as they use.

use std::fs;

use harness::{Answer, World};
use reqwest::Method;
use serde_json::Value;

use super::openapi::root;

/// What callers call, `/openapi.json` as it is served, or what providers and other platforms call.
#[derive(Debug)]
pub(super) struct Document(pub Value);

/// Headers of the connection and the gateway, which the document does not name.
const UNDOCUMENTED: [&str; 4] = ["content-type", "content-length", "date", "apigw-requestid"];

impl Document {
    pub(super) async fn served(world: &World) -> Self {
        let answer = world.call(Method::GET, "/openapi.json", &[("authorization", "")], None).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["content-type"]),
            (200, &"application/json".parse().unwrap())
        );
        Self(answer.body)
    }

    pub(super) fn of_callbacks() -> Self {
        let text = fs::read_to_string(root().join("infra/openapi-callbacks.yaml")).unwrap();
        Self(serde_yaml_ng::from_str(&text).unwrap())
    }

    /// Every method with its path, and what the document says of it.
    pub(super) fn operations(&self) -> impl Iterator<Item = (String, &Value)> {
        let paths = self.0["paths"].as_object().unwrap();
        paths.iter().flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters");
            operations
                .map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation))
        })
    }

    /// Asserts that an answer of `route` (as the template names it) is one that is described.
    pub(super) fn assert_describes(&self, route: &str, answer: &Answer) {
        let (_, operation) = self.operations().find(|(name, _)| name == route).expect(route);
        let at = format!("{route} {}", answer.status);
        let response = self.resolve(&operation["responses"][answer.status.as_str()]);
        assert!(response.is_object(), "{at} is not described: {answer:?}");
        let mut wrong = Vec::new();
        for name in
            answer.headers.keys().map(|name| name.as_str()).filter(|name| !UNDOCUMENTED.contains(name))
        {
            let described = response["headers"].as_object().into_iter().flatten();
            if !described.map(|(name, _)| name.to_lowercase()).any(|described| described == name) {
                wrong.push(format!("the header {name} is not described"));
            }
        }
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let header = self.resolve(header);
            match answer.headers.get(name) {
                Some(value) => {
                    let text = value.to_str().unwrap();
                    let number = header["schema"]["type"] == "integer";
                    let value = if number {
                        text.parse::<i64>().map_or(Value::Null, Value::from)
                    } else {
                        Value::from(text)
                    };
                    self.check(&header["schema"], &value, name, &mut wrong);
                }
                None if header["required"] == true => wrong.push(format!("the header {name} is missing")),
                None => {}
            }
        }
        match answer.headers.get("content-type").map(|kind| kind.to_str().unwrap()) {
            Some(kind) => match response["content"].get(kind) {
                Some(content) => self.check(&content["schema"], &answer.body, "body", &mut wrong),
                None => wrong.push(format!("a body of {kind} is not described")),
            },
            None if response.get("content").is_some() => wrong.push("the body is missing".to_owned()),
            None => {}
        }
        assert!(wrong.is_empty(), "{at}: {wrong:#?}\n{answer:?}");
    }

    /// What stands where a reference points, or the node itself.
    pub(super) fn resolve<'a>(&'a self, node: &'a Value) -> &'a Value {
        match node["$ref"].as_str() {
            Some(reference) => self.0.pointer(reference.trim_start_matches('#')).expect(reference),
            None => node,
        }
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        for (keyword, rule) in schema.as_object().unwrap_or_else(|| panic!("{at} has no schema")) {
            if !self.holds(schema, keyword, rule, value, at, wrong) {
                wrong.push(format!("{at}: {value} breaks {keyword} {rule}"));
            }
        }
    }

    /// Whether a value keeps one rule itself; what lies within it goes to `wrong`.
    #[expect(clippy::too_many_lines, reason = "one arm for each keyword of JSON Schema")]
    fn holds(
        &self,
        schema: &Value,
        keyword: &str,
        rule: &Value,
        value: &Value,
        at: &str,
        wrong: &mut Vec<String>,
    ) -> bool {
        let (items, fields) = (value.as_array(), value.as_object());
        let texts = |rule: &Value| {
            rule.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        match keyword {
            "$ref" => self.check(self.resolve(schema), value, at, wrong),
            "properties" => {
                for (name, field) in fields.into_iter().flatten() {
                    let at = format!("{at}.{name}");
                    match rule.get(name) {
                        Some(rule) => self.check(rule, field, &at, wrong),
                        // What stands beside a reference says more of fields that it describes.
                        None if schema.get("$ref").is_some() => {}
                        None => wrong.push(format!("{at} is not described")),
                    }
                }
            }
            "additionalProperties" => {
                assert!(schema.get("properties").is_none(), "{at}: both kinds of properties");
                for (name, field) in fields.into_iter().flatten() {
                    self.check(rule, field, &format!("{at}.{name}"), wrong);
                }
            }
            "items" => {
                for (n, item) in items.into_iter().flatten().enumerate() {
                    self.check(rule, item, &format!("{at}[{n}]"), wrong);
                }
            }
            "oneOf" => {
                let kept = rule.as_array().unwrap().iter().filter(|rule| {
                    let mut wrong = Vec::new();
                    self.check(rule, value, at, &mut wrong);
                    wrong.is_empty()
                });
                return kept.count() == 1;
            }
            "required" => {
                return fields.is_none_or(|fields| texts(rule).iter().all(|name| fields.contains_key(name)));
            }
            "type" => {
                let types =
                    if rule.is_array() { texts(rule) } else { vec![rule.as_str().unwrap().to_owned()] };
                return types.iter().any(|name| is_a(value, name));
            }
            "const" => return value == rule,
            "enum" => return rule.as_array().unwrap().contains(value),
            "minimum" => return value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => return value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "minItems" => return items.is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => return items.is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()),
            "maxProperties" => {
                return fields.is_none_or(|fields| fields.len() as u64 <= rule.as_u64().unwrap());
            }
            "minLength" => {
                return value
                    .as_str()
                    .is_none_or(|text| text.chars().count() as u64 >= rule.as_u64().unwrap());
            }
            "maxLength" => {
                return value
                    .as_str()
                    .is_none_or(|text| text.chars().count() as u64 <= rule.as_u64().unwrap());
            }
            "description" | "title" | "examples" | "default" | "format" | "pattern" | "propertyNames" => {}
            other => panic!("{at}: the keyword {other} is not understood here"),
        }
        true
    }
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type is called {other}"),
    }
}
