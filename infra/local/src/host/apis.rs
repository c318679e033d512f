//! The APIs of the template: one of HTTP, and one of WebSocket.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde::Deserialize;

use super::cors::ApiCors;
use super::resources::Stack;
use super::template::Names;

/// The key of the route for requests that match no other.
pub const DEFAULT_ROUTE: &str = "$default";

/// A route of the HTTP API.
#[derive(Debug, Clone)]
pub struct Route {
    /// As the template has it: `GET /v1/jobs/{id}`, or [`DEFAULT_ROUTE`].
    pub key: String,
    /// Method and path; the default route takes requests that match no other.
    pub matches: Option<(Method, String)>,
    pub function: String,
}

/// The WebSocket API: each route of it is one function's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketApi {
    pub stage: String,
    /// Functions by the key of their route: `$connect`, `$disconnect`, `$default`.
    pub routes: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Protocol {
    Http,
    Websocket,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Api {
    protocol_type: Protocol,
    /// What of a message names its route; a message that names none takes the default route.
    #[serde(rename = "RouteSelectionExpression")]
    _route_selection_expression: Option<String>,
    cors_configuration: Option<ApiCors>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Stage {
    api_id: String,
    stage_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Integration {
    api_id: String,
    integration_uri: String,
    payload_format_version: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RouteProperties {
    api_id: String,
    route_key: String,
    target: String,
    route_response_selection_expression: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RouteResponse {
    route_id: String,
    route_response_key: String,
}

/// The template's APIs, read but not linked.
pub(super) struct Apis {
    protocols: BTreeMap<String, Protocol>,
    cors: Option<ApiCors>,
    integrations: BTreeMap<String, Integration>,
    routes: Vec<(String, RouteProperties)>,
    stages: Vec<(String, Stage)>,
    /// The routes that send back what their function returns.
    answering: Vec<String>,
}

impl Apis {
    pub(super) fn read(stack: &Stack<'_>) -> Result<Self> {
        let apis = stack.read::<Api>("AWS::ApiGatewayV2::Api")?;
        let responses = stack.read::<RouteResponse>("AWS::ApiGatewayV2::RouteResponse")?.into_iter();
        let answering = responses.map(|(id, response)| {
            let key = &response.route_response_key;
            ensure!(key == DEFAULT_ROUTE, "resource {id}: the key {key} is not understood");
            Ok(response.route_id)
        });
        Ok(Self {
            cors: apis.iter().find_map(|(_, api)| api.cors_configuration.clone()),
            protocols: apis.into_iter().map(|(id, api)| (id, api.protocol_type)).collect(),
            integrations: stack.read("AWS::ApiGatewayV2::Integration")?.into_iter().collect(),
            routes: stack.read("AWS::ApiGatewayV2::Route")?,
            stages: stack.read("AWS::ApiGatewayV2::Stage")?,
            answering: answering.collect::<Result<_>>()?,
        })
    }

    fn protocol(&self, api: &str) -> Result<Protocol> {
        self.protocols.get(api).copied().with_context(|| format!("{api} is no API"))
    }

    /// Which pages of other origins may read answers of the HTTP API.
    pub(super) fn cors(&self) -> Option<ApiCors> {
        self.cors.clone()
    }

    /// The routes of the HTTP API.
    pub(super) fn http(&self, names: &Names) -> Result<Vec<Route>> {
        for (id, stage) in &self.stages {
            let is_understood =
                self.protocol(&stage.api_id)? == Protocol::Websocket || stage.stage_name == DEFAULT_ROUTE;
            ensure!(is_understood, "resource {id}: the stage of an HTTP API must be {DEFAULT_ROUTE}");
        }
        let mut routes = Vec::new();
        for (id, route) in &self.routes {
            if self.protocol(&route.api_id)? == Protocol::Http {
                let route = self.http_route(route, names).with_context(|| format!("resource {id}"))?;
                routes.push(route);
            }
        }
        Ok(routes)
    }

    fn http_route(&self, route: &RouteProperties, names: &Names) -> Result<Route> {
        let key = route.route_key.clone();
        let function = names.function_for(GATEWAY, &self.integration(route)?.integration_uri)?;
        if key == DEFAULT_ROUTE {
            return Ok(Route { key, matches: None, function });
        }
        let (method, path) = key.split_once(' ').context("not a method and a path")?;
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].contains(&method);
        ensure!(known, "the route key {key} is not understood");
        let matches = Some((Method::try_from(method)?, path.to_owned()));
        Ok(Route { key, matches, function })
    }

    /// The integration of a route, in its API and of the format that the API has.
    fn integration(&self, route: &RouteProperties) -> Result<&Integration> {
        let id = route.target.strip_prefix("integrations/");
        let found = id.and_then(|id| self.integrations.get(id));
        let found = found.with_context(|| format!("{} is no integration", route.target))?;
        ensure!(found.api_id == route.api_id, "{} is of another API", route.target);
        let format = match self.protocol(&found.api_id)? {
            Protocol::Http => Some("2.0"),
            Protocol::Websocket => None,
        };
        let has = found.payload_format_version.as_deref();
        ensure!(has == format, "the integration's PayloadFormatVersion must be {format:?} and not {has:?}");
        Ok(found)
    }

    /// The WebSocket API, if there is one.
    pub(super) fn socket(&self, names: &Names) -> Result<Option<SocketApi>> {
        let mut of_sockets = self.stages.iter().filter_map(|(_, stage)| {
            (self.protocols.get(&stage.api_id) == Some(&Protocol::Websocket)).then_some(stage)
        });
        let Some(stage) = of_sockets.next() else { return Ok(None) };
        ensure!(of_sockets.next().is_none(), "one stage of a WebSocket API is expected");
        let mut routes = BTreeMap::new();
        for (id, route) in self.routes.iter().filter(|(_, route)| route.api_id == stage.api_id) {
            let function = self.socket_route(id, route, names).with_context(|| format!("resource {id}"))?;
            routes.insert(route.route_key.clone(), function);
        }
        let all = ["$connect", DEFAULT_ROUTE, "$disconnect"];
        ensure!(routes.keys().eq(all), "a WebSocket API has the routes {}", all.join(", "));
        Ok(Some(SocketApi { stage: stage.stage_name.clone(), routes }))
    }

    fn socket_route(&self, id: &str, route: &RouteProperties, names: &Names) -> Result<String> {
        let uri = &self.integration(route)?.integration_uri;
        let arn = uri
            .split_once(":lambda:path/2015-03-31/functions/")
            .and_then(|(_, rest)| rest.strip_suffix("/invocations"));
        let arn = arn.with_context(|| format!("{uri} invokes no function"))?;
        // Else what the function returns is not sent.
        let answers = route.route_response_selection_expression.as_deref() == Some(DEFAULT_ROUTE)
            && self.answering.iter().any(|route| route == id);
        ensure!(answers == (route.route_key == DEFAULT_ROUTE), "the default route alone sends answers");
        names.function_for(GATEWAY, arn)
    }
}

/// Who invokes the functions of routes.
const GATEWAY: &str = "apigateway.amazonaws.com";
