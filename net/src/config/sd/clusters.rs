//! Providers that run beside the targets: orchestrators and registries of services.

use std::collections::BTreeMap;

use super::{check_web_url, fail, require};
use crate::config::http_client::{BasicAuth, HttpClientConfig};
use crate::config::units::{Millis, Secret};
use crate::config::value::{FilePath, Url};
use crate::config::yaml::section;
use crate::wire::quote::quoted;

section! {
    pub struct ConsulSdConfig("consul.plain") check ConsulSdConfig::check_alone;
    omit server: String = "localhost:8500".to_owned();
    omit path_prefix: String;
    omit token: Secret;
    omit datacenter: String;
    omit namespace: String;
    omit partition: String;
    omit tag_separator: String = ",".to_owned();
    omit scheme: String = "http".to_owned();
    omit username: String;
    omit password: Secret;
    keep allow_stale: bool = true;
    omit refresh_interval: Millis = Millis::seconds(30);
    omit services: Vec<String>;
    omit tags: Vec<String>;
    omit node_meta: BTreeMap<String, String>;
    omit filter: String;
    omit health_filter: String;
    inline http: HttpClientConfig = HttpClientConfig::default();
}

impl ConsulSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        if self.server.trim().is_empty() {
            return fail("consul SD configuration requires a server address");
        }
        if !self.username.is_empty() || !self.password.is_empty() {
            if self.http.basic_auth.is_some() {
                return fail(
                    "at most one of consul SD configuration username and password and basic auth \
                     can be configured",
                );
            }
            self.http.basic_auth = Some(BasicAuth {
                username: self.username.clone(),
                password: self.password.clone(),
                ..BasicAuth::default()
            });
        }
        let others = self.http.authorization.is_some() || self.http.oauth2.is_some();
        if !self.token.is_empty() && others {
            return fail(
                "at most one of consul SD token, authorization, or oauth2 can be configured",
            );
        }
        self.http.validate()
    }
}

section! {
    pub struct ContainerFilter("moby.Filter");
    keep name: String;
    keep values: Vec<String>;
}

section! {
    pub struct DockerSdConfig("moby.plain") check DockerSdConfig::check_alone;
    inline http: HttpClientConfig = HttpClientConfig::default();
    keep host: String;
    keep port: i64 = 80;
    keep filters: Vec<ContainerFilter>;
    keep host_networking_host: String = "localhost".to_owned();
    keep refresh_interval: Millis = Millis::seconds(60);
    keep match_first_network: bool = true;
}

impl DockerSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        require(&[(!self.host.is_empty(), "host missing")])?;
        Url::parse(&self.host)?;
        self.http.validate()
    }
}

section! {
    pub struct DockerSwarmSdConfig("moby.plain") check DockerSwarmSdConfig::check_alone;
    inline http: HttpClientConfig = HttpClientConfig::default();
    keep host: String;
    /// `tasks`, `services` or `nodes`.
    keep role: String;
    keep port: i64 = 80;
    keep filters: Vec<ContainerFilter>;
    keep refresh_interval: Millis = Millis::seconds(60);
}

impl DockerSwarmSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        require(&[(!self.host.is_empty(), "host missing")])?;
        Url::parse(&self.host)?;
        match self.role.as_str() {
            "services" | "nodes" | "tasks" => self.http.validate(),
            "" => fail("role missing (one of: tasks, services, nodes)"),
            role => Err(format!("invalid role {role}, expected tasks, services, or nodes")),
        }
    }
}

section! {
    pub struct EurekaSdConfig("eureka.plain") check EurekaSdConfig::check_alone;
    omit server: String;
    inline http: HttpClientConfig = HttpClientConfig::default();
    omit refresh_interval: Millis = Millis::seconds(30);
}

impl EurekaSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        require(&[(!self.server.is_empty(), "eureka_sd: empty or null eureka server")])?;
        let url = Url::parse(&self.server)?;
        let absolute = !url.scheme().is_empty() && !url.host().is_empty();
        require(&[(absolute, "eureka_sd: invalid eureka server URL")])?;
        self.http.validate()
    }
}

section! {
    pub struct KubernetesSdConfig("kubernetes.plain") check KubernetesSdConfig::check_alone;
    omit api_server: Option<Url>;
    keep role: String;
    keep kubeconfig_file: FilePath;
    inline http: HttpClientConfig = HttpClientConfig::default();
    omit namespaces: KubernetesNamespaces;
    omit selectors: Vec<KubernetesSelector>;
    omit attach_metadata: KubernetesAttachMetadata;
}

section! {
    pub struct KubernetesNamespaces("kubernetes.plain");
    keep own_namespace: bool;
    keep names: Vec<String>;
}

section! {
    pub struct KubernetesSelector("kubernetes.SelectorConfig");
    omit role: String;
    omit label: String;
    omit field: String;
}

section! {
    pub struct KubernetesAttachMetadata("kubernetes.AttachMetadataConfig");
    keep node: bool;
    keep namespace: bool;
    keep deployment: bool;
    keep job: bool;
    keep cronjob: bool;
}

/// The roles and the selectors each supports, in the order error texts list them.
const KUBERNETES_ROLES: [(&str, &[&str]); 6] = [
    ("pod", &["pod", "node"]),
    ("service", &["service"]),
    ("endpointslice", &["pod", "service", "endpointslice"]),
    ("endpoints", &["pod", "service", "endpoints"]),
    ("node", &["node"]),
    ("ingress", &["ingress"]),
];

impl KubernetesSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        let roles = self.selectors.iter().map(|selector| &selector.role).chain([&self.role]);
        for role in roles.filter(|role| !role.is_empty()) {
            if !KUBERNETES_ROLES.iter().any(|(name, _)| name == role) {
                return Err(format!("unknown Kubernetes SD role {}", quoted(role.as_bytes())));
            }
        }
        if self.role.is_empty() {
            return fail(
                "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)",
            );
        }
        self.http.validate()?;
        let (server, kubeconfig) = (self.api_server.is_some(), !self.kubeconfig_file.is_empty());
        let custom = self.http != HttpClientConfig::default();
        let own = self.namespaces.own_namespace;
        require(&[
            (
                !(server && kubeconfig),
                "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
            ),
            (
                !(kubeconfig && custom),
                "cannot use a custom HTTP client configuration together with 'kubeconfig_file'",
            ),
            (
                server || !custom,
                "to use custom HTTP client configuration please provide the 'api_server' URL \
                 explicitly",
            ),
            (
                !(server && own),
                "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
            ),
            (
                !(kubeconfig && own),
                "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously",
            ),
        ])?;
        self.check_selectors()
    }

    fn check_selectors(&self) -> Result<(), String> {
        let allowed = KUBERNETES_ROLES.iter().find(|(name, _)| *name == self.role);
        let allowed = allowed.map_or(&[][..], |(_, allowed)| allowed);
        for (index, selector) in self.selectors.iter().enumerate() {
            if self.selectors[..index].iter().any(|other| other.role == selector.role) {
                return Err(format!("duplicated selector role: {}", selector.role));
            }
            if !allowed.contains(&selector.role.as_str()) {
                let role = &self.role;
                return Err(format!("{role} role supports only {} selectors", allowed.join(", ")));
            }
            check_field_selector(&selector.field)?;
        }
        Ok(())
    }
}

/// Comma-separated terms, each with `=`, `==` or `!=`; a backslash takes the next character's
/// meaning away.
fn check_field_selector(selector: &str) -> Result<(), String> {
    let mut term = String::new();
    let mut escaped = false;
    for c in selector.chars().chain([',']) {
        match c {
            ',' if !escaped => {
                if !term.is_empty() && !term.contains('=') {
                    return Err(format!(
                        "invalid selector: '{selector}'; can't understand '{term}'"
                    ));
                }
                term.clear();
            }
            c => {
                escaped = c == '\\' && !escaped;
                term.push(c);
            }
        }
    }
    Ok(())
}

section! {
    pub struct KumaSdConfig("xds.plainKumaConf") check KumaSdConfig::check_alone;
    inline http: HttpClientConfig = HttpClientConfig::default();
    omit refresh_interval: Millis = Millis::seconds(15);
    omit fetch_timeout: Millis = Millis::seconds(120);
    omit server: String;
    omit client_id: String;
}

impl KumaSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        require(&[(!self.server.is_empty(), "kuma SD server must not be empty: ")])?;
        let url = Url::parse(&self.server)?;
        if url.scheme().is_empty() || url.host().is_empty() {
            let server = &self.server;
            return Err(format!("kuma SD server must not be empty and have a scheme: {server}"));
        }
        self.http.validate()
    }
}

section! {
    pub struct MarathonSdConfig("marathon.plain") check MarathonSdConfig::check_alone;
    omit servers: Vec<String>;
    omit refresh_interval: Millis = Millis::seconds(30);
    omit auth_token: Secret;
    omit auth_token_file: FilePath;
    inline http: HttpClientConfig = HttpClientConfig::default();
}

impl MarathonSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        let (token, file) = (!self.auth_token.is_empty(), !self.auth_token_file.is_empty());
        let any = token || file;
        let bearer = !self.http.bearer_token.is_empty() || !self.http.bearer_token_file.is_empty();
        require(&[
            (!self.servers.is_empty(), "marathon_sd: must contain at least one Marathon server"),
            (
                !(token && file),
                "marathon_sd: at most one of auth_token & auth_token_file must be configured",
            ),
            (
                !(any && self.http.basic_auth.is_some()),
                "marathon_sd: at most one of basic_auth, auth_token & auth_token_file must be \
                 configured",
            ),
            (
                !(any && bearer),
                "marathon_sd: at most one of bearer_token, bearer_token_file, auth_token & \
                 auth_token_file must be configured",
            ),
            (
                !(any && self.http.authorization.is_some()),
                "marathon_sd: at most one of auth_token, auth_token_file & authorization must be \
                 configured",
            ),
        ])?;
        self.http.validate()
    }
}

section! {
    pub struct NomadSdConfig("nomad.plain") check NomadSdConfig::check_alone;
    keep allow_stale: bool = true;
    inline http: HttpClientConfig = HttpClientConfig::default();
    keep namespace: String = "default".to_owned();
    keep refresh_interval: Millis = Millis::seconds(60);
    keep region: String = "global".to_owned();
    keep server: String = "http://localhost:4646".to_owned();
    omit tag_separator: String = ",".to_owned();
}

impl NomadSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        let server = !self.server.trim().is_empty();
        require(&[(server, "nomad SD configuration requires a server address")])?;
        self.http.validate()
    }
}

section! {
    pub struct PuppetDbSdConfig("puppetdb.plain") check PuppetDbSdConfig::check_alone;
    inline http: HttpClientConfig = HttpClientConfig::default();
    omit refresh_interval: Millis = Millis::seconds(60);
    keep url: String;
    keep query: String;
    keep include_parameters: bool;
    keep port: i64 = 80;
}

impl PuppetDbSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        check_web_url(&self.url)?;
        require(&[(!self.query.is_empty(), "query missing")])?;
        self.http.validate()
    }
}

section! {
    pub struct ServersetSdConfig("zookeeper.plain") check ServersetSdConfig::check_alone;
    keep servers: Vec<String>;
    keep paths: Vec<String>;
    omit timeout: Millis = Millis::seconds(10);
}

section! {
    pub struct NerveSdConfig("zookeeper.plain") check NerveSdConfig::check_alone;
    keep servers: Vec<String>;
    keep paths: Vec<String>;
    omit timeout: Millis = Millis::seconds(10);
}

/// What the two users of ZooKeeper both need.
fn check_zookeeper(name: &str, servers: &[String], paths: &[String]) -> Result<(), String> {
    if servers.is_empty() {
        return Err(format!("{name} SD config must contain at least one Zookeeper server"));
    }
    if paths.is_empty() {
        return Err(format!("{name} SD config must contain at least one path"));
    }
    match paths.iter().find(|path| !path.starts_with('/')) {
        Some(path) => Err(format!("{name} SD config paths must begin with '/': {path}")),
        None => Ok(()),
    }
}

impl ServersetSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        check_zookeeper("serverset", &self.servers, &self.paths)
    }
}

impl NerveSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        check_zookeeper("nerve", &self.servers, &self.paths)
    }
}
