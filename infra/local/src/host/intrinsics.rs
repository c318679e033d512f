//! CloudFormation's intrinsic functions, with the names and addresses of the local stack.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use regex_lite::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What AWS would decide at deployment, and here the caller does.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub stack_name: String,
    pub region: String,
    pub account_id: String,
    /// Where the HTTP API answers, as `http://127.0.0.1:PORT`.
    pub api_endpoint: String,
    /// Where SQS answers; a queue's URL is `{sqs_endpoint}/{account_id}/{queue name}`.
    pub sqs_endpoint: String,
    pub table_name: String,
    pub bucket_name: String,
    /// Values of the template's parameters, by name.
    pub parameters: BTreeMap<String, String>,
}

impl Deployment {
    pub fn arn(&self, service: &str, rest: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{rest}", self.region, self.account_id)
    }
}

/// One entry of the template's `Parameters`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Parameter {
    #[serde(rename = "Type")]
    kind: ParameterType,
    default: Option<Scalar>,
    allowed_values: Option<Vec<Scalar>>,
    allowed_pattern: Option<String>,
    min_value: Option<f64>,
    #[serde(rename = "Description")]
    _description: Option<String>,
}

#[derive(Debug, Deserialize)]
enum ParameterType {
    String,
    Number,
}

/// A value, which CloudFormation takes for the text of it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(serde_json::Number),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// One entry of the template's `Resources`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Resource {
    #[serde(rename = "Type")]
    pub(super) kind: String,
    pub(super) condition: Option<String>,
    #[serde(default)]
    pub(super) properties: Map<String, Value>,
    #[serde(default)]
    pub(super) metadata: Value,
    // All is there before anything begins.
    #[serde(rename = "DependsOn")]
    _depends_on: Option<Value>,
    // Nothing is ever replaced or deleted here.
    #[serde(rename = "DeletionPolicy")]
    _deletion_policy: Option<String>,
    #[serde(rename = "UpdateReplacePolicy")]
    _update_replace_policy: Option<String>,
}

/// Replaces every intrinsic function by its value. One that it does not know is an error.
#[derive(Debug)]
pub(super) struct Resolver<'a> {
    deployment: &'a Deployment,
    parameters: BTreeMap<String, String>,
    conditions: &'a BTreeMap<String, Value>,
    resources: &'a BTreeMap<String, Resource>,
}

impl<'a> Resolver<'a> {
    /// # Errors
    ///
    /// If a parameter has no value or not one that it allows, or if one is given that is not declared.
    pub(super) fn new(
        deployment: &'a Deployment,
        declared: &BTreeMap<String, Parameter>,
        conditions: &'a BTreeMap<String, Value>,
        resources: &'a BTreeMap<String, Resource>,
    ) -> Result<Self> {
        if let Some(stray) = deployment.parameters.keys().find(|name| !declared.contains_key(*name)) {
            bail!("the template has no parameter {stray}");
        }
        let parameters = declared
            .iter()
            .map(|(name, parameter)| Ok((name.clone(), parameter.value(name, deployment)?)))
            .collect::<Result<_>>()?;
        Ok(Self { deployment, parameters, conditions, resources })
    }

    pub(super) fn resolve(&self, value: &Value) -> Result<Value> {
        match value {
            Value::Object(map) => match intrinsic(map) {
                Some((function, argument)) => self.call(function, argument),
                None => Ok(Value::Object(self.resolve_all(map)?)),
            },
            Value::Array(items) => {
                let items = items.iter().map(|item| self.resolve(item));
                // What has no value is no item.
                items.filter(|item| !matches!(item, Ok(Value::Null))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(value.clone()),
        }
    }

    pub(super) fn resolve_all(&self, map: &Map<String, Value>) -> Result<Map<String, Value>> {
        map.iter().map(|(key, value)| Ok((key.clone(), self.resolve(value)?))).collect()
    }

    fn call(&self, function: &str, argument: &Value) -> Result<Value> {
        let value = match (function, argument) {
            ("Ref", Value::String(name)) if name == "AWS::NoValue" => return Ok(Value::Null),
            ("Ref", Value::String(name)) => self.reference(name)?,
            ("Split", Value::Array(_)) => match self.resolve(argument)?.as_array().map(Vec::as_slice) {
                Some([Value::String(by), Value::String(text)]) => {
                    return Ok(text.split(by.as_str()).collect());
                }
                _ => bail!("Split takes a delimiter and a text"),
            },
            ("GetAtt", Value::String(path)) => self.attribute_at(path)?,
            ("GetAtt", Value::Array(path)) => self.attribute_at(&texts(path)?.join("."))?,
            ("Sub", Value::String(text)) => self.substitute(text)?,
            ("Join", Value::Array(arguments)) => match self.resolve(argument)? {
                Value::Array(resolved) if arguments.len() == 2 => {
                    let items = resolved[1].as_array().context("Join takes a list")?;
                    texts(items)?.join(resolved[0].as_str().context("Join takes a delimiter")?)
                }
                _ => bail!("Join takes a delimiter and a list"),
            },
            ("If", Value::Array(arguments)) => {
                let [condition, then, otherwise] = arguments.as_slice() else {
                    bail!("If takes a condition and two values");
                };
                let name = condition.as_str().context("If takes the name of a condition")?;
                return self.resolve(if self.condition(name)? { then } else { otherwise });
            }
            _ => bail!("{function} {argument} is not understood"),
        };
        Ok(Value::String(value))
    }

    pub(super) fn condition(&self, name: &str) -> Result<bool> {
        let declared = self.conditions.get(name).with_context(|| format!("no condition {name}"))?;
        self.holds(declared).with_context(|| format!("condition {name}"))
    }

    fn holds(&self, condition: &Value) -> Result<bool> {
        let (function, argument) =
            condition.as_object().and_then(intrinsic).context("it is not an intrinsic function")?;
        match (function, argument.as_array().map(Vec::as_slice)) {
            ("Equals", Some([left, right])) => Ok(self.resolve(left)? == self.resolve(right)?),
            ("Not", Some([inner])) => Ok(!self.holds(inner)?),
            _ => bail!("{function} {argument} is not understood"),
        }
    }

    fn substitute(&self, text: &str) -> Result<String> {
        let mut whole = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, tail) = after.split_once('}').with_context(|| format!("an open ${{ in {text}"))?;
            whole += before;
            whole += &match name.strip_prefix('!') {
                Some(literal) => format!("${{{literal}}}"),
                None if name.contains('.') => self.attribute_at(name)?,
                None => self.reference(name)?,
            };
            rest = tail;
        }
        Ok(whole + rest)
    }

    /// What `Ref` gives for a pseudo parameter, a parameter or a resource.
    pub(super) fn reference(&self, name: &str) -> Result<String> {
        let at = self.deployment;
        let pseudo = match name {
            "AWS::StackName" => Some(at.stack_name.as_str()),
            "AWS::Region" => Some(at.region.as_str()),
            "AWS::AccountId" => Some(at.account_id.as_str()),
            "AWS::Partition" => Some("aws"),
            "AWS::URLSuffix" => Some("amazonaws.com"),
            _ => self.parameters.get(name).map(String::as_str),
        };
        if let Some(value) = pseudo {
            return Ok(value.to_owned());
        }
        match self.resource(name)?.kind.as_str() {
            "AWS::SecretsManager::Secret" => Ok(at.arn("secretsmanager", &format!("secret:{name}"))),
            "AWS::SQS::Queue" => {
                Ok(format!("{}/{}/{}", at.sqs_endpoint, at.account_id, self.physical_name(name)?))
            }
            _ => self.physical_name(name),
        }
    }

    fn attribute_at(&self, path: &str) -> Result<String> {
        let (id, attribute) = path.split_once('.').with_context(|| format!("{path} names no attribute"))?;
        self.attribute(id, attribute)
    }

    /// What `GetAtt` gives for a resource.
    pub(super) fn attribute(&self, id: &str, attribute: &str) -> Result<String> {
        let at = self.deployment;
        let name = self.physical_name(id)?;
        Ok(match (self.resource(id)?.kind.as_str(), attribute) {
            ("AWS::Serverless::Function", "Arn") => at.arn("lambda", &format!("function:{name}")),
            ("AWS::SQS::Queue", "Arn") => at.arn("sqs", &name),
            ("AWS::DynamoDB::Table", "Arn") => at.arn("dynamodb", &format!("table/{name}")),
            ("AWS::IAM::Role", "Arn") => format!("arn:aws:iam::{}:role/{name}", at.account_id),
            ("AWS::Logs::LogGroup", "Arn") => at.arn("logs", &format!("log-group:{name}:*")),
            ("AWS::Events::Rule", "Arn") => at.arn("events", &format!("rule/{name}")),
            ("AWS::S3::Bucket", "Arn") => format!("arn:aws:s3:::{name}"),
            ("AWS::ApiGatewayV2::Api", "ApiEndpoint") => at.api_endpoint.clone(),
            (kind, _) => bail!("attribute {attribute} of {id} ({kind}) is not understood"),
        })
    }

    /// The resource's own name: given by the template or the deployment, or made of the stack's.
    pub(super) fn physical_name(&self, id: &str) -> Result<String> {
        let resource = self.resource(id)?;
        let property = match resource.kind.as_str() {
            "AWS::Serverless::Function" => "FunctionName",
            "AWS::SQS::Queue" => "QueueName",
            "AWS::Logs::LogGroup" => "LogGroupName",
            "AWS::DynamoDB::Table" => return Ok(self.deployment.table_name.clone()),
            "AWS::S3::Bucket" => return Ok(self.deployment.bucket_name.clone()),
            "AWS::Events::Rule" => "Name",
            _ => return Ok(id.to_owned()),
        };
        match resource.properties.get(property) {
            Some(name) => match self.resolve(name)? {
                Value::String(name) => Ok(name),
                other => bail!("{property} of {id} is {other}, not text"),
            },
            None => Ok(format!("{}-{id}", self.deployment.stack_name)),
        }
    }

    fn resource(&self, id: &str) -> Result<&Resource> {
        self.resources.get(id).with_context(|| format!("nothing in the template is called {id}"))
    }
}

impl Parameter {
    fn value(&self, name: &str, deployment: &Deployment) -> Result<String> {
        let default = || self.default.as_ref().map(Scalar::to_string);
        let value = deployment.parameters.get(name).cloned().or_else(default);
        let value = value.with_context(|| format!("parameter {name} has no value"))?;
        if let Some(allowed) = &self.allowed_values {
            let allowed: Vec<_> = allowed.iter().map(Scalar::to_string).collect();
            ensure!(allowed.contains(&value), "parameter {name} must be one of {allowed:?}");
        }
        if let Some(pattern) = &self.allowed_pattern {
            let allowed = Regex::new(pattern).with_context(|| format!("the pattern of parameter {name}"))?;
            ensure!(allowed.is_match(&value), "parameter {name} must match {pattern}");
        }
        if let ParameterType::Number = self.kind {
            let number: f64 = value.parse().ok().with_context(|| format!("parameter {name} is a number"))?;
            ensure!(self.min_value.is_none_or(|min| number >= min), "parameter {name} is too small");
        }
        Ok(value)
    }
}

/// The function's name and argument, from the short form (`!Sub`) or the long one (`Fn::Sub`).
fn intrinsic(map: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (key, argument) = map.iter().next().filter(|_| map.len() == 1)?;
    let function = key.strip_prefix('!').or_else(|| key.strip_prefix("Fn::"));
    Some((function.or((key == "Ref").then_some("Ref"))?, argument))
}

fn texts(items: &[Value]) -> Result<Vec<&str>> {
    items.iter().map(|item| item.as_str().with_context(|| format!("{item} is not text"))).collect()
}
