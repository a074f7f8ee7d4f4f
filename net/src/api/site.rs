//! From a request to its endpoint: readiness, CORS, compression, counting.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use shards::runtime;
use shards::{Shard, Starting};

use crate::http::server::Service;
use crate::http::{Form, Found, Request, Response, Router, gzip, text_error};
use crate::observe::metrics;
use crate::observe::query_log::Origin;
use crate::observe::stats::ShardStats;
use crate::ui;

use super::answer::ApiError;
use super::context::{Context, Readiness};
use super::exemplars;
use super::query::Asked;
use super::routes::{Endpoint, router};
use super::write::Receiver;
use super::{admin, alerts, lifecycle, query, series, status, targets, tsdb, under_way};

/// The web side of one shard.
pub struct Site {
    starting: Rc<Starting>,
    /// Empty until the shard has read what it holds.
    shard: OnceCell<Shard>,
    context: Arc<Context>,
    stats: Arc<ShardStats>,
    router: Router<Endpoint>,
    receiver: Receiver,
}

/// Where a request leads.
struct Destination {
    endpoint: Endpoint,
    /// The route's pattern: what the request counts as.
    pattern: &'static str,
    /// What stands for the pattern's parameter.
    parameter: String,
}

impl Site {
    pub fn new(starting: Rc<Starting>, context: Arc<Context>) -> Site {
        let stats = context.stats[starting.id().index()].clone();
        let (shard, router, receiver) = (OnceCell::new(), router(), Receiver::default());
        Site { starting, shard, context, stats, router, receiver }
    }

    /// From now on requests for data are answered from `shard`, once the whole server is ready.
    pub fn set_shard(&self, shard: Shard) {
        let _ = self.shard.set(shard);
    }

    /// The path without the prefix under which this server stands.
    fn local_path<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(self.context.web.route_prefix.as_str())
    }

    async fn answer(&self, to: &Destination, mut request: Request) -> Response {
        let readiness = self.context.readiness();
        let shard = self.shard.get().filter(|_| readiness == Readiness::Ready);
        if shard.is_none() && !to.endpoint.needs_no_readiness() {
            return lifecycle::not_ready(readiness);
        }
        if let (Endpoint::RemoteWrite, Some(shard)) = (to.endpoint, shard) {
            let (web, stats) = (&self.context.web, &self.stats.remote_write);
            let now_ms = runtime::unix_ms();
            return self.receiver.receive(shard, web, stats, now_ms, request).await;
        }
        let headers = request.head.headers.clone();
        let path = request.path().to_owned();
        let origin = Origin::Http {
            client_ip: request.peer.ip().to_string(),
            method: request.method().to_string(),
            path: path.clone(),
        };
        let response = match request.form().await {
            Ok(form) => match (self.without_shard(to, &path).await, shard) {
                (Some(response), _) => response,
                (None, Some(shard)) => match self.endpoint(shard, to, &path, &form, origin).await {
                    Ok(response) => response,
                    Err(error) => error.respond(),
                },
                (None, None) => lifecycle::not_ready(readiness),
            },
            Err(error) => text_error(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        let mut response = gzip::compress(&headers, response);
        if to.endpoint.is_api() {
            self.add_cors(&headers, &mut response);
        }
        response
    }

    /// Answers that need no data, so that they are given from the first moment on.
    async fn without_shard(&self, to: &Destination, path: &str) -> Option<Response> {
        let context = &*self.context;
        Some(match to.endpoint {
            Endpoint::Metrics => metrics::page(self.starting.stats(), context),
            Endpoint::StatusWalReplay => status::wal_replay(self.starting.stats()),
            Endpoint::Notifications => status::notifications(context),
            Endpoint::Page => ui::page(&context.web.page_title, &context.web.route_prefix),
            Endpoint::Asset => ui::asset(self.local_path(path).unwrap_or("")),
            Endpoint::Version => status::version(),
            Endpoint::Healthy => lifecycle::healthy(),
            Endpoint::Reload => lifecycle::reload(context).await,
            Endpoint::Quit => lifecycle::quit(context).await,
            Endpoint::LifecycleGet => lifecycle::only_post(),
            _ => return None,
        })
    }

    async fn endpoint(
        &self,
        shard: &Shard,
        to: &Destination,
        path: &str,
        form: &Form,
        origin: Origin,
    ) -> Result<Response, ApiError> {
        let context = &*self.context;
        Ok(match to.endpoint {
            Endpoint::Query | Endpoint::QueryRange => {
                let asked = Asked { shard, context, form, origin };
                return match to.endpoint {
                    Endpoint::Query => query::query(&asked, runtime::unix_ms()).await,
                    _ => query::query_range(&asked).await,
                };
            }
            Endpoint::Explain => {
                return under_way::explain(shard, context, form, runtime::unix_ms()).await;
            }
            Endpoint::ActiveQueries => return under_way::active_queries(shard).await,
            Endpoint::CancelQuery => {
                return under_way::cancel_query(shard, context, &to.parameter).await;
            }
            Endpoint::QueryExemplars => return exemplars::query_exemplars(shard, form).await,
            Endpoint::FormatQuery => return query::format_query(shard, form).await,
            Endpoint::ParseQuery => return query::parse_query(shard, form).await,
            Endpoint::Labels => return series::label_names(shard, form).await,
            Endpoint::LabelValues => {
                return series::label_values(shard, &to.parameter, form).await;
            }
            Endpoint::Series => return series::series(shard, form).await,
            Endpoint::Metadata => return targets::metadata(shard, context, form).await,
            Endpoint::ScrapePools => targets::scrape_pools(context),
            Endpoint::ScrapePoolConfig => return targets::scrape_pool_config(context, form),
            Endpoint::Targets => targets::targets(context, form),
            Endpoint::TargetsMetadata => return targets::targets_metadata(context, form),
            Endpoint::RelabelSteps => return targets::relabel_steps(context, form),
            Endpoint::StatusConfig => status::config(context),
            Endpoint::StatusRuntimeInfo => status::runtime_info(context, runtime::unix_ms()),
            Endpoint::StatusBuildInfo => status::build_info(),
            Endpoint::StatusFlags => status::flags(context),
            Endpoint::StatusTsdb => return tsdb::status(shard, form).await,
            Endpoint::Features => status::features(context),
            Endpoint::Alerts => alerts::alerts(context),
            Endpoint::Rules => return alerts::rules(context, form),
            Endpoint::Alertmanagers => alerts::alertmanagers(context),
            Endpoint::DeleteSeries => return admin::delete_series(shard, context, form).await,
            Endpoint::CleanTombstones => return admin::clean_tombstones(shard, context).await,
            Endpoint::Snapshot => {
                return admin::snapshot(shard, context, form, runtime::unix_ms()).await;
            }
            Endpoint::StatusTsdbBlocks => return admin::blocks(shard).await,
            Endpoint::OtlpWrite => otlp(context),
            Endpoint::NotBuilt => return Err(ApiError::not_built(path)),
            Endpoint::Options => {
                let mut response = Response::new(crate::http::Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            Endpoint::Ready => lifecycle::ready(),
            _ => unreachable!("answered by `without_shard`, or before the body was read"),
        })
    }

    /// Source: Prometheus `util/httputil/cors.go`.
    fn add_cors(&self, request: &HeaderMap, response: &mut Response) {
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = request.get(header::ORIGIN) else { return };
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let allowed = &self.context.web.cors_origin;
        if allowed.as_str() == ".*" {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else if allowed.is_match(origin.as_bytes()) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }
}

fn method_not_allowed(allow: &str) -> Response {
    let mut response = text_error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

fn otlp(context: &Context) -> Response {
    if context.web.has_otlp_receiver {
        return text_error(
            StatusCode::NOT_IMPLEMENTED,
            "hearth does not have an OTLP receiver yet",
        );
    }
    let why = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver";
    text_error(StatusCode::NOT_FOUND, why)
}

impl Service for Site {
    async fn serve(&self, request: Request) -> Response {
        let start: Instant = runtime::now();
        let path = self.local_path(request.path()).unwrap_or("");
        let to = match self.router.find(request.method(), path) {
            Found::Endpoint { endpoint, pattern, parameter } => {
                Destination { endpoint, pattern, parameter: parameter.to_owned() }
            }
            Found::MethodNotAllowed { allow } => return method_not_allowed(&allow),
            Found::NotFound => return text_error(StatusCode::NOT_FOUND, "404 page not found"),
        };
        let response = self.answer(&to, request).await;
        let elapsed = runtime::now().duration_since(start);
        self.stats.count_request(to.pattern, response.status().as_u16(), elapsed);
        response
    }

    fn is_health(&self, path: &str) -> bool {
        self.local_path(path).is_some_and(|path| matches!(path, "/-/healthy" | "/-/ready"))
    }

    fn panicked(&self) {
        self.stats.request_panics.add(1);
    }
}
