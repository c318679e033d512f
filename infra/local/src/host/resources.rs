//! The template as a document: which resources and properties the host understands, and how each is read.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cors::BucketCors;
use super::intrinsics::{Deployment, Parameter, Resolver, Resource};
use super::kinds::{FUNCTION, KINDS, Kind};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Document {
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
    #[serde(default)]
    conditions: BTreeMap<String, Value>,
    #[serde(default)]
    globals: Globals,
    resources: BTreeMap<String, Resource>,
    #[serde(rename = "AWSTemplateFormatVersion")]
    _format: Option<String>,
    #[serde(rename = "Transform")]
    _transform: Option<String>,
    #[serde(rename = "Description")]
    _description: Option<String>,
    #[serde(rename = "Outputs")]
    _outputs: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Globals {
    #[serde(default)]
    function: Map<String, Value>,
}

/// A resource of which nothing is read, so anything in it is refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unread {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct FunctionProperties {
    pub(super) function_name: String,
    pub(super) role: String,
    pub(super) memory_size: u32,
    pub(super) timeout: u64,
    pub(super) environment: Environment,
    #[serde(default)]
    pub(super) recursive_loop: RecursiveLoop,
}

/// What becomes of a function that is invoked again and again because of one event.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum RecursiveLoop {
    Allow,
    #[default]
    Terminate,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Environment {
    pub(super) variables: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct RoleProperties {
    pub(super) policies: Vec<Policy>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Policy {
    #[serde(rename = "PolicyName")]
    _policy_name: String,
    pub(super) policy_document: PolicyDocument,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct PolicyDocument {
    #[serde(rename = "Version")]
    _version: String,
    pub(super) statement: Vec<Statement>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Statement {
    #[serde(rename = "Effect")]
    _effect: Allow,
    pub(super) action: OneOrMany,
    /// Either this or the next.
    pub(super) resource: Option<OneOrMany>,
    pub(super) not_resource: Option<OneOrMany>,
    /// Narrows what is granted: a caller here may do no more because of it.
    #[serde(rename = "Condition")]
    _condition: Option<IgnoredAny>,
}

/// The only effect that is understood.
#[derive(Debug, Deserialize)]
enum Allow {
    Allow,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct QueueProperties {
    #[serde(default = "default_visibility")]
    pub(super) visibility_timeout: u32,
    #[serde(default)]
    pub(super) delay_seconds: u32,
    #[serde(default = "default_retention")]
    pub(super) message_retention_period: u32,
    #[serde(default)]
    pub(super) receive_message_wait_time_seconds: u32,
    pub(super) redrive_policy: Option<RedrivePolicy>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RedrivePolicy {
    pub(super) dead_letter_target_arn: String,
    pub(super) max_receive_count: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Permission {
    pub(super) function_name: String,
    pub(super) principal: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct MappingProperties {
    pub(super) event_source_arn: String,
    pub(super) function_name: String,
    pub(super) batch_size: u32,
    pub(super) scaling_config: ScalingConfig,
    #[serde(default)]
    pub(super) maximum_batching_window_in_seconds: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ScalingConfig {
    pub(super) maximum_concurrency: usize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) schedule_expression: String,
    pub(super) targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Target {
    #[serde(rename = "Id")]
    _id: String,
    pub(super) arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct BucketProperties {
    pub(super) cors_configuration: BucketCorsConfiguration,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct BucketCorsConfiguration {
    pub(super) cors_rules: Vec<BucketCors>,
}

/// Passed on as they are.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TableProperties {
    pub(super) attribute_definitions: Value,
    pub(super) key_schema: Value,
    pub(super) global_secondary_indexes: Value,
    pub(super) time_to_live_specification: Value,
}

/// The template's resources, each read by its type.
#[derive(Debug)]
pub(super) struct Stack<'a> {
    document: &'a Document,
    resolver: Resolver<'a>,
}

impl Document {
    pub(super) fn parse(text: &str) -> Result<Self> {
        // A YAML value keeps `!Ref X` as a tag, which in JSON becomes `{"!Ref": "X"}`.
        let yaml: serde_yaml_ng::Value = serde_yaml_ng::from_str(text)?;
        Ok(serde_json::from_value(serde_json::to_value(yaml)?)?)
    }
}

impl<'a> Stack<'a> {
    /// # Errors
    ///
    /// If there is a type of resource that the host knows nothing about.
    pub(super) fn new(document: &'a Document, deployment: &'a Deployment) -> Result<Self> {
        for (id, resource) in &document.resources {
            let known = KINDS.iter().any(|kind| kind.name == resource.kind);
            ensure!(known, "resource {id}: the type {} is not understood", resource.kind);
        }
        let Document { parameters, conditions, resources, .. } = document;
        Ok(Self { document, resolver: Resolver::new(deployment, parameters, conditions, resources)? })
    }

    /// All resources of one type, by logical id.
    pub(super) fn read<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<(String, T)>> {
        let kind = KINDS.iter().find(|known| known.name == kind).context("an unknown type")?;
        let mut read = Vec::new();
        for (id, resource) in self.document.resources.iter().filter(|(_, it)| it.kind == kind.name) {
            let properties = || {
                if let Some(condition) = &resource.condition
                    && !self.resolver.condition(condition)?
                {
                    return Ok(None);
                }
                let properties = self.properties(kind, resource)?;
                anyhow::Ok(Some(serde_json::from_value(Value::Object(properties))?))
            };
            let properties = properties().with_context(|| format!("resource {id}"))?;
            read.extend(properties.map(|properties| (id.clone(), properties)));
        }
        Ok(read)
    }

    /// The package that a function is built from.
    pub(super) fn package(&self, id: &str) -> Result<String> {
        let metadata = &self.document.resources[id].metadata;
        let package = metadata.pointer("/BuildProperties/Binary").and_then(Value::as_str);
        package.map(str::to_owned).with_context(|| format!("resource {id} has no BuildProperties.Binary"))
    }

    pub(super) fn resolver(&self) -> &Resolver<'a> {
        &self.resolver
    }

    /// Those that are left to read, resolved.
    fn properties(&self, kind: &Kind, resource: &Resource) -> Result<Map<String, Value>> {
        let mut declared = resource.properties.clone();
        if kind.name == FUNCTION {
            declared = with_defaults(declared, &self.document.globals.function);
        }
        for name in kind.without_effect {
            declared.remove(*name);
        }
        let mut properties = self.resolver.resolve_all(&declared)?;
        for (name, only) in kind.only {
            let value = match properties.remove(*name) {
                Some(Value::String(text)) => text,
                other => other.unwrap_or_default().to_string(),
            };
            ensure!(value == *only, "{name} must be {only} and not {value}");
        }
        Ok(properties)
    }
}

/// A function's own properties win over those of `Globals`; inside maps, key by key.
fn with_defaults(mut own: Map<String, Value>, globals: &Map<String, Value>) -> Map<String, Value> {
    for (key, global) in globals {
        let value = match (own.remove(key), global) {
            (Some(Value::Object(own)), Value::Object(global)) => Value::Object(with_defaults(own, global)),
            (Some(own), _) => own,
            (None, global) => global.clone(),
        };
        own.insert(key.clone(), value);
    }
    own
}

fn default_visibility() -> u32 {
    30
}

fn default_retention() -> u32 {
    345_600
}
