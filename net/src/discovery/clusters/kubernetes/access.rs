//! How to reach a cluster: by its address, by a kubeconfig file, or from a pod inside.
//!
//! Source: client-go `rest.InClusterConfig`, `clientcmd`.

use std::fs;
use std::path::Path;

use super::exec::Exec;
use crate::config::yaml::{self, Yaml};
use crate::config::{
    Authorization, BasicAuth, FilePath, HttpClientConfig, KubernetesSdConfig, Secret,
};
use crate::http::encoding::base64_decode;

const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Where the API is, and how to speak to it.
pub struct Access {
    pub server: String,
    pub http: HttpClientConfig,
    /// Gives what `http` lacks.
    pub exec: Option<Exec>,
    /// Namespace of the pod that hearth runs in, if it is to be watched.
    pub own_namespace: Option<String>,
}

impl Access {
    pub fn of(config: &KubernetesSdConfig) -> Result<Access, String> {
        if !config.kubeconfig_file.is_empty() {
            let path = &*config.kubeconfig_file;
            let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
            return from_kubeconfig(&text, Path::new(path)).map_err(|why| format!("{path}: {why}"));
        }
        if let Some(server) = &config.api_server {
            let server = server.as_str().trim_end_matches('/').to_owned();
            return Ok(Access {
                server,
                http: config.http.clone(),
                exec: None,
                own_namespace: None,
            });
        }
        in_cluster(config.namespaces.own_namespace)
    }
}

fn in_cluster(with_own_namespace: bool) -> Result<Access, String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(host), Some(port)) =
        (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT"))
    else {
        return Err("unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and \
                    KUBERNETES_SERVICE_PORT must be defined"
            .to_owned());
    };
    let mut http = HttpClientConfig { follow_redirects: true, ..HttpClientConfig::default() };
    http.enable_http2 = true;
    http.authorization = Some(Authorization {
        kind: "Bearer".to_owned(),
        credentials_file: FilePath(format!("{SERVICE_ACCOUNT}/token")),
        ..Authorization::default()
    });
    http.tls_config.ca_file = FilePath(format!("{SERVICE_ACCOUNT}/ca.crt"));
    let own_namespace = if with_own_namespace {
        let read = fs::read_to_string(format!("{SERVICE_ACCOUNT}/namespace"));
        let name =
            read.map_err(|error| format!("could not determine the pod's namespace: {error}"))?;
        if name.is_empty() {
            return Err("could not read own namespace name (empty file)".to_owned());
        }
        Some(name)
    } else {
        None
    };
    let server = format!("https://{}", crate::discovery::api::host_port(&host, port));
    Ok(Access { server, http, exec: None, own_namespace })
}

fn field<'a>(value: &'a Yaml, name: &str) -> &'a Yaml {
    let Yaml::Mapping(pairs) = value else { return &Yaml::Null };
    pairs.iter().find(|(key, _)| key == name).map_or(&Yaml::Null, |(_, value)| value)
}

fn text(value: &Yaml) -> String {
    match value {
        Yaml::Text(text) | Yaml::Plain(text) => text.clone(),
        _ => String::new(),
    }
}

/// The entry of a list of `{name, …}` that is called so.
fn named<'a>(list: &'a Yaml, name: &str) -> &'a Yaml {
    let (Yaml::Sequence(items) | Yaml::Flow(items)) = list else { return &Yaml::Null };
    items.iter().find(|item| text(field(item, "name")) == name).unwrap_or(&Yaml::Null)
}

fn from_kubeconfig(file: &str, path: &Path) -> Result<Access, String> {
    let mut config = Yaml::Null;
    yaml::decode(file, &mut config).map_err(|abort| abort.message)?;
    let context = named(field(&config, "contexts"), &text(field(&config, "current-context")));
    let context = field(context, "context");
    let cluster = named(field(&config, "clusters"), &text(field(context, "cluster")));
    let cluster = field(cluster, "cluster");
    let user = field(named(field(&config, "users"), &text(field(context, "user"))), "user");
    let server = text(field(cluster, "server"));
    if server.is_empty() {
        return Err("invalid configuration: no server found for the current context".to_owned());
    }
    if !matches!(field(user, "auth-provider"), Yaml::Null) {
        return Err("users by auth-provider are not supported".to_owned());
    }
    let dir = path.parent().unwrap_or(Path::new(""));
    let exec = match field(user, "exec") {
        Yaml::Null => None,
        exec => Some(exec_of(exec, dir)?),
    };
    let file_of = |value: &Yaml| match text(value) {
        name if name.is_empty() => FilePath::default(),
        name => FilePath(dir.join(name).display().to_string()),
    };
    let inline = |value: &Yaml| match text(value) {
        data if data.is_empty() => Ok(String::new()),
        data => base64_decode(&data)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or("data that is no base64".to_owned()),
    };
    let mut http = HttpClientConfig { follow_redirects: true, ..HttpClientConfig::default() };
    http.enable_http2 = true;
    let tls = &mut http.tls_config;
    tls.ca = inline(field(cluster, "certificate-authority-data"))?;
    tls.cert = inline(field(user, "client-certificate-data"))?;
    tls.key = Secret::new(inline(field(user, "client-key-data"))?);
    if tls.ca.is_empty() {
        tls.ca_file = file_of(field(cluster, "certificate-authority"));
    }
    if tls.cert.is_empty() {
        tls.cert_file = file_of(field(user, "client-certificate"));
        tls.key_file = file_of(field(user, "client-key"));
    }
    tls.server_name = text(field(cluster, "tls-server-name"));
    tls.insecure_skip_verify = text(field(cluster, "insecure-skip-tls-verify")) == "true";
    let (token, name) = (text(field(user, "token")), text(field(user, "username")));
    let token_file = file_of(field(user, "tokenFile"));
    if !token.is_empty() || !token_file.is_empty() {
        let credentials_file = if token.is_empty() { token_file } else { FilePath::default() };
        http.authorization = Some(Authorization {
            kind: "Bearer".to_owned(),
            credentials: Secret::new(token),
            credentials_file,
            ..Authorization::default()
        });
    } else if !name.is_empty() {
        http.basic_auth = Some(BasicAuth {
            username: name,
            password: Secret::new(text(field(user, "password"))),
            ..BasicAuth::default()
        });
    }
    let server = server.trim_end_matches('/').to_owned();
    Ok(Access { server, http, exec, own_namespace: None })
}

fn exec_of(exec: &Yaml, dir: &Path) -> Result<Exec, String> {
    let list = |name: &str| match field(exec, name) {
        Yaml::Sequence(items) | Yaml::Flow(items) => items.as_slice().to_vec(),
        _ => vec![],
    };
    let command = text(field(exec, "command"));
    if command.is_empty() {
        return Err("command must be specified to use exec authentication plugin".to_owned());
    }
    if text(field(exec, "interactiveMode")) == "Always" {
        return Err("exec plugin requires standard input, which hearth has not got".to_owned());
    }
    let pair = |item: &Yaml| (text(field(item, "name")), text(field(item, "value")));
    Ok(Exec {
        api_version: text(field(exec, "apiVersion")),
        command: Exec::command_of(&command, dir),
        arguments: list("args").iter().map(text).collect(),
        environment: list("env").iter().map(pair).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: v1
clusters:
- name: c
  cluster: {server: https://k:6443/, certificate-authority-data: Q0E=}
contexts:
- {name: other, context: {cluster: x, user: y}}
- {name: now, context: {cluster: c, user: u}}
current-context: now
users:
- name: u
  user: {token: t, client-certificate: c.pem, client-key: /k.pem}
";

    #[test]
    fn kubeconfig() {
        let access = from_kubeconfig(FILE, Path::new("/etc/kube/config")).ok().unwrap();
        assert_eq!(access.server, "https://k:6443");
        let tls = &access.http.tls_config;
        assert_eq!(
            (tls.ca.as_str(), &*tls.cert_file, &*tls.key_file),
            ("CA", "/etc/kube/c.pem", "/k.pem")
        );
        assert_eq!(access.http.authorization.unwrap().credentials.reveal(), "t");
        let refused = |text: &str| from_kubeconfig(text, Path::new("c")).err().unwrap();
        assert_eq!(
            refused(&FILE.replace("token: t", "exec: {args: [x]}")),
            "command must be specified to use exec authentication plugin"
        );
        let exec =
            "exec: {apiVersion: v, command: ./get, args: [a, b], env: [{name: EXTRA, value: V}]}";
        let by_exec =
            from_kubeconfig(&FILE.replace("token: t", exec), Path::new("/etc/kube/config"));
        let expected = Exec {
            api_version: "v".to_owned(),
            command: "/etc/kube/./get".into(),
            arguments: vec!["a".to_owned(), "b".to_owned()],
            environment: vec![("EXTRA".to_owned(), "V".to_owned())],
        };
        assert_eq!(by_exec.ok().unwrap().exec, Some(expected));
        assert!(refused("a: b").contains("no server found"));
    }
}
