//! Which path leads where.
//!
//! Source: Prometheus `web/web.go`, `web/api/v1/api.go` (`Register`).

use http::Method;

use crate::http::{Route, Router};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    // Query and metadata.
    Query,
    QueryRange,
    QueryExemplars,
    FormatQuery,
    ParseQuery,
    // Queries, hearth's own.
    Explain,
    ActiveQueries,
    CancelQuery,
    Labels,
    LabelValues,
    Series,
    Metadata,
    // Targets.
    ScrapePools,
    ScrapePoolConfig,
    Targets,
    TargetsMetadata,
    RelabelSteps,
    // Status.
    StatusConfig,
    StatusRuntimeInfo,
    StatusBuildInfo,
    StatusFlags,
    StatusTsdb,
    StatusTsdbBlocks,
    StatusWalReplay,
    Features,
    Notifications,
    // Rules and alerts.
    Alerts,
    Rules,
    Alertmanagers,
    // Writing.
    RemoteWrite,
    OtlpWrite,
    DeleteSeries,
    CleanTombstones,
    Snapshot,
    /// Paths of Prometheus that hearth does not have yet.
    NotBuilt,
    /// Any path below the API, asked by a browser before it sends the request itself.
    Options,
    // Beside the API.
    Page,
    Asset,
    Metrics,
    Version,
    Healthy,
    Ready,
    Reload,
    Quit,
    LifecycleGet,
}

impl Endpoint {
    /// Answered even before the server is ready.
    pub fn needs_no_readiness(self) -> bool {
        matches!(
            self,
            Endpoint::Healthy
                | Endpoint::Metrics
                | Endpoint::Version
                | Endpoint::StatusWalReplay
                | Endpoint::Notifications
                | Endpoint::Page
                | Endpoint::Asset
                | Endpoint::Reload
                | Endpoint::Quit
                | Endpoint::LifecycleGet
        )
    }

    /// Part of the JSON API, whose answers carry CORS headers.
    pub fn is_api(self) -> bool {
        !matches!(
            self,
            Endpoint::Page
                | Endpoint::Asset
                | Endpoint::Metrics
                | Endpoint::Version
                | Endpoint::Healthy
                | Endpoint::Ready
                | Endpoint::Reload
                | Endpoint::Quit
                | Endpoint::LifecycleGet
                | Endpoint::RemoteWrite
                | Endpoint::OtlpWrite
        )
    }
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const GET_POST: &[Method] = &[Method::GET, Method::POST];
const GET_HEAD: &[Method] = &[Method::GET, Method::HEAD];
const POST_PUT: &[Method] = &[Method::POST, Method::PUT];

const TABLE: &[(&[Method], &str, Endpoint)] = &[
    (GET_POST, "/api/v1/query", Endpoint::Query),
    (GET_POST, "/api/v1/query_range", Endpoint::QueryRange),
    (GET_POST, "/api/v1/query_exemplars", Endpoint::QueryExemplars),
    (GET_POST, "/api/v1/format_query", Endpoint::FormatQuery),
    (GET_POST, "/api/v1/parse_query", Endpoint::ParseQuery),
    (GET_POST, "/api/v1/explain", Endpoint::Explain),
    (GET, "/api/v1/active_queries", Endpoint::ActiveQueries),
    (POST, "/api/v1/active_queries/:id/cancel", Endpoint::CancelQuery),
    (GET_POST, "/api/v1/labels", Endpoint::Labels),
    (GET, "/api/v1/label/:name/values", Endpoint::LabelValues),
    (GET_POST, "/api/v1/series", Endpoint::Series),
    (GET, "/api/v1/scrape_pools", Endpoint::ScrapePools),
    (GET, "/api/v1/scrape_pools/config", Endpoint::ScrapePoolConfig),
    (GET, "/api/v1/targets", Endpoint::Targets),
    (GET, "/api/v1/targets/metadata", Endpoint::TargetsMetadata),
    (GET, "/api/v1/targets/relabel_steps", Endpoint::RelabelSteps),
    (GET, "/api/v1/alertmanagers", Endpoint::Alertmanagers),
    (GET, "/api/v1/metadata", Endpoint::Metadata),
    (GET, "/api/v1/status/config", Endpoint::StatusConfig),
    (GET, "/api/v1/status/runtimeinfo", Endpoint::StatusRuntimeInfo),
    (GET, "/api/v1/status/buildinfo", Endpoint::StatusBuildInfo),
    (GET, "/api/v1/status/flags", Endpoint::StatusFlags),
    (GET, "/api/v1/status/tsdb", Endpoint::StatusTsdb),
    (GET, "/api/v1/status/tsdb/blocks", Endpoint::StatusTsdbBlocks),
    (GET, "/api/v1/status/self_metrics", Endpoint::NotBuilt),
    (GET, "/api/v1/status/walreplay", Endpoint::StatusWalReplay),
    (GET, "/api/v1/features", Endpoint::Features),
    (GET, "/api/v1/notifications", Endpoint::Notifications),
    (GET, "/api/v1/notifications/live", Endpoint::NotBuilt),
    (POST, "/api/v1/read", Endpoint::NotBuilt),
    (POST, "/api/v1/write", Endpoint::RemoteWrite),
    (POST, "/api/v1/otlp/v1/metrics", Endpoint::OtlpWrite),
    (GET_POST, "/api/v1/search/metric_names", Endpoint::NotBuilt),
    (GET_POST, "/api/v1/search/label_names", Endpoint::NotBuilt),
    (GET_POST, "/api/v1/search/label_values", Endpoint::NotBuilt),
    (GET, "/api/v1/alerts", Endpoint::Alerts),
    (GET, "/api/v1/rules", Endpoint::Rules),
    (POST_PUT, "/api/v1/admin/tsdb/delete_series", Endpoint::DeleteSeries),
    (POST_PUT, "/api/v1/admin/tsdb/clean_tombstones", Endpoint::CleanTombstones),
    (POST_PUT, "/api/v1/admin/tsdb/snapshot", Endpoint::Snapshot),
    (GET, "/api/v1/openapi.yaml", Endpoint::NotBuilt),
    (&[Method::OPTIONS], "/api/v1/*path", Endpoint::Options),
    (GET, "/", Endpoint::Page),
    (GET, "/query", Endpoint::Page),
    (GET, "/graph", Endpoint::Page),
    (GET, "/targets", Endpoint::Page),
    (GET, "/alerts", Endpoint::Page),
    (GET, "/rules", Endpoint::Page),
    (GET, "/status", Endpoint::Page),
    (GET, "/assets/*path", Endpoint::Asset),
    (GET, "/favicon.svg", Endpoint::Asset),
    (GET, "/favicon.ico", Endpoint::Asset),
    (GET, "/federate", Endpoint::NotBuilt),
    (GET, "/metrics", Endpoint::Metrics),
    (GET, "/version", Endpoint::Version),
    (GET_HEAD, "/-/healthy", Endpoint::Healthy),
    (GET_HEAD, "/-/ready", Endpoint::Ready),
    (POST_PUT, "/-/reload", Endpoint::Reload),
    (POST_PUT, "/-/quit", Endpoint::Quit),
    (GET, "/-/reload", Endpoint::LifecycleGet),
    (GET, "/-/quit", Endpoint::LifecycleGet),
];

pub fn router() -> Router<Endpoint> {
    let route = |&(methods, pattern, endpoint)| Route { methods, pattern, endpoint };
    Router::new(TABLE.iter().map(route).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Found;

    #[track_caller]
    fn check(method: Method, path: &str, expected: Result<Endpoint, &str>) {
        let router = router();
        let found = match router.find(&method, path) {
            Found::Endpoint { endpoint, .. } => Ok(endpoint),
            Found::MethodNotAllowed { allow } => Err(allow),
            Found::NotFound => Err(String::new()),
        };
        assert_eq!(found, expected.map_err(str::to_owned), "{method} {path}");
    }

    #[test]
    fn the_table_allows_what_prometheus_allows() {
        check(Method::GET, "/api/v1/query", Ok(Endpoint::Query));
        check(Method::OPTIONS, "/api/v1/query", Ok(Endpoint::Options));
        check(Method::GET, "/api/v1/write", Err("OPTIONS, POST"));
        check(Method::DELETE, "/api/v1/labels", Err("GET, OPTIONS, POST"));
        check(Method::HEAD, "/-/ready", Ok(Endpoint::Ready));
        check(Method::DELETE, "/-/healthy", Err("GET, HEAD, OPTIONS"));
        check(Method::GET, "/-/reload", Ok(Endpoint::LifecycleGet));
        check(Method::GET, "/api/v1/nope", Err(""));
        check(Method::GET, "/nope", Err(""));
    }
}
