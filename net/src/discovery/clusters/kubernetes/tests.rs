//! Groups of every role from objects as a cluster gives them, and a list that is watched.

use std::cell::Cell;
use std::sync::Mutex;

use super::reflect::{Ended, stored};
use super::*;
use crate::config::{KubernetesAttachMetadata, yaml};
use crate::discovery::api::testing::shown;
use crate::discovery::stats::DiscoveryStats;
use crate::http::testing::{FakeServer, on_control, reply_json, reply_status};

const POD: &str = r#"[{"metadata":{"name":"web-1","namespace":"ns","uid":"u1",
  "labels":{"app.kubernetes.io/name":"web"},"annotations":{"a":"b"},"managedFields":[{"x":1}],
  "ownerReferences":[{"kind":"ReplicaSet","name":"web-rs","controller":true}]},
 "spec":{"nodeName":"n1","containers":[
   {"name":"c","image":"img:1","ports":[{"name":"http","containerPort":80,"protocol":"TCP"},
                                        {"name":"side","containerPort":90,"protocol":"TCP"}]},
   {"name":"bare","image":"img:2"}],"initContainers":[{"name":"i","image":"img:3"}]},
 "status":{"podIP":"10.1.0.1","hostIP":"1.1.1.1","phase":"Running",
  "conditions":[{"type":"Ready","status":"True"}],
  "containerStatuses":[{"name":"c","containerID":"docker://x"}]}},
 {"metadata":{"name":"pending","namespace":"ns"},"spec":{"containers":[]},"status":{}}]"#;

const NODE: &str = r#"[{"metadata":{"name":"n1","labels":{"zone":"z"}},
 "spec":{"providerID":"p"},"status":{"addresses":[{"type":"ExternalIP","address":"5.5.5.5"},
 {"type":"InternalIP","address":"1.1.1.1"},{"type":"InternalIP","address":"fd00::1"}],
 "conditions":[{"type":"Ready","status":"True"}],
 "daemonEndpoints":{"kubeletEndpoint":{"Port":10250}}}}]"#;

const SERVICE: &str = r#"[{"metadata":{"name":"web","namespace":"ns","labels":{"l":"1"}},
 "spec":{"type":"ClusterIP","clusterIP":"10.2.0.1",
  "ports":[{"name":"http","port":80,"protocol":"TCP"}]}},
 {"metadata":{"name":"out","namespace":"ns"},
 "spec":{"type":"ExternalName","externalName":"x.example","ports":[{"port":81}]}}]"#;

#[track_caller]
fn check(role: Kind, objects: &[(Kind, &str)], attach: &str, expected: &str) {
    let mut stores = Stores::default();
    objects.iter().for_each(|(kind, list)| stored(&mut stores, *kind, list));
    let mut read = KubernetesAttachMetadata::default();
    yaml::decode(attach, &mut read).ok().unwrap();
    let groups = Maker { stores: &stores, attach: &read }.groups(role);
    let shown = shown(&groups).replace("__meta_kubernetes_", "~");
    assert_eq!(shown, expected.trim());
}

#[test]
fn nodes() {
    check(
        Kind::Node,
        &[(Kind::Node, NODE)],
        "",
        r#"
node/n1 {~node_condition_ready="true", ~node_label_zone="z", ~node_labelpresent_zone="true", ~node_name="n1", ~node_provider_id="p"}
  {__address__="1.1.1.1:10250", ~node_address_ExternalIP="5.5.5.5", ~node_address_InternalIP="1.1.1.1", instance="n1"}"#,
    );
}

#[test]
fn pods() {
    let replica_set = r#"[{"metadata":{"name":"web-rs","namespace":"ns",
        "ownerReferences":[{"kind":"Deployment","name":"web","controller":true}]}}]"#;
    check(
        Kind::Pod,
        &[(Kind::Pod, POD), (Kind::ReplicaSet, replica_set), (Kind::Node, NODE)],
        "{deployment: true, node: true}",
        r#"
pod/ns/pending {}
pod/ns/web-1 {~namespace="ns", ~node_label_zone="z", ~node_labelpresent_zone="true", ~node_name="n1", ~pod_annotation_a="b", ~pod_annotationpresent_a="true", ~pod_controller_kind="ReplicaSet", ~pod_controller_name="web-rs", ~pod_deployment_name="web", ~pod_host_ip="1.1.1.1", ~pod_ip="10.1.0.1", ~pod_label_app_kubernetes_io_name="web", ~pod_labelpresent_app_kubernetes_io_name="true", ~pod_name="web-1", ~pod_node_name="n1", ~pod_phase="Running", ~pod_ready="true", ~pod_uid="u1"}
  {__address__="10.1.0.1:80", ~pod_container_id="docker://x", ~pod_container_image="img:1", ~pod_container_init="false", ~pod_container_name="c", ~pod_container_port_name="http", ~pod_container_port_number="80", ~pod_container_port_protocol="TCP"}
  {__address__="10.1.0.1:90", ~pod_container_id="docker://x", ~pod_container_image="img:1", ~pod_container_init="false", ~pod_container_name="c", ~pod_container_port_name="side", ~pod_container_port_number="90", ~pod_container_port_protocol="TCP"}
  {__address__="10.1.0.1", ~pod_container_image="img:2", ~pod_container_init="false", ~pod_container_name="bare"}
  {__address__="10.1.0.1", ~pod_container_image="img:3", ~pod_container_init="true", ~pod_container_name="i"}"#,
    );
}

#[test]
fn services() {
    check(
        Kind::Service,
        &[(Kind::Service, SERVICE)],
        "",
        r#"
svc/ns/out {~namespace="ns", ~service_name="out"}
  {__address__="out.ns.svc:81", ~service_external_name="x.example", ~service_port_number="81", ~service_type="ExternalName"}
svc/ns/web {~namespace="ns", ~service_label_l="1", ~service_labelpresent_l="true", ~service_name="web"}
  {__address__="web.ns.svc:80", ~service_cluster_ip="10.2.0.1", ~service_port_name="http", ~service_port_number="80", ~service_port_protocol="TCP", ~service_type="ClusterIP"}"#,
    );
}

#[test]
fn endpoints_bring_the_other_ports_of_their_pods() {
    let bare_pod = r#"[{"metadata":{"name":"p","namespace":"ns"},
      "spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80},
      {"name":"x","containerPort":90,"protocol":"TCP"}]}]},
      "status":{"podIP":"10.1.0.1","phase":"Running"}}]"#;
    let endpoints = r#"[{"metadata":{"name":"web","namespace":"ns"},"subsets":[{
      "addresses":[{"ip":"10.1.0.1","targetRef":{"kind":"Pod","namespace":"ns","name":"p"}}],
      "notReadyAddresses":[{"ip":"10.9.9.9","hostname":"h"}],
      "ports":[{"name":"http","port":80,"protocol":"TCP"}]}]}]"#;
    let pod = r#"~pod_container_image="i", ~pod_container_init="false", ~pod_container_name="c""#;
    let of_pod = r#"~pod_ip="10.1.0.1", ~pod_name="p", ~pod_phase="Running", ~pod_ready="unknown""#;
    let service = r#"~service_label_l="1", ~service_labelpresent_l="true", ~service_name="web""#;
    check(
        Kind::Endpoints,
        &[(Kind::Pod, bare_pod), (Kind::Endpoints, endpoints), (Kind::Service, SERVICE)],
        "",
        &format!(
            r#"
endpoints/ns/web {{~endpoints_name="web", ~namespace="ns", {service}}}
  {{__address__="10.1.0.1:80", ~endpoint_address_target_kind="Pod", ~endpoint_address_target_name="p", ~endpoint_port_name="http", ~endpoint_port_protocol="TCP", ~endpoint_ready="true", {pod}, ~pod_container_port_number="80", ~pod_container_port_protocol="TCP", {of_pod}}}
  {{__address__="10.9.9.9:80", ~endpoint_hostname="h", ~endpoint_port_name="http", ~endpoint_port_protocol="TCP", ~endpoint_ready="false"}}
  {{__address__="10.1.0.1:90", {pod}, ~pod_container_port_name="x", ~pod_container_port_number="90", ~pod_container_port_protocol="TCP", {of_pod}}}"#
        ),
    );
}

#[test]
fn slices_and_ingresses() {
    let slice = r#"[{"metadata":{"name":"web-x","namespace":"ns",
      "labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4",
      "endpoints":[{"addresses":["10.1.0.9"],"conditions":{"ready":true,"serving":null},
        "nodeName":"n1","zone":"z"}],"ports":[{"name":"","port":80,"protocol":"TCP"}]},
      {"metadata":{"name":"nothing","namespace":"ns"},"endpoints":null,"ports":null}]"#;
    let service = r#"~service_label_l="1", ~service_labelpresent_l="true", ~service_name="web""#;
    check(
        Kind::EndpointSlice,
        &[(Kind::EndpointSlice, slice), (Kind::Service, SERVICE)],
        "",
        &format!(
            r#"
endpointslice/ns/nothing {{~endpointslice_name="nothing", ~namespace="ns"}}
endpointslice/ns/web-x {{~endpointslice_address_type="IPv4", ~endpointslice_label_kubernetes_io_service_name="web", ~endpointslice_labelpresent_kubernetes_io_service_name="true", ~endpointslice_name="web-x", ~namespace="ns", {service}}}
  {{__address__="10.1.0.9:80", ~endpointslice_endpoint_conditions_ready="true", ~endpointslice_endpoint_node_name="n1", ~endpointslice_endpoint_zone="z", ~endpointslice_port="80", ~endpointslice_port_protocol="TCP"}}"#
        ),
    );
    let ingress = r#"[{"metadata":{"name":"i","namespace":"ns"},"spec":{"ingressClassName":"k",
      "tls":[{"hosts":["*.example"]}],"rules":[{"host":"a.example","http":{"paths":[{"path":"/x"},
      {}]}},{"host":"b.a.example"}]}}]"#;
    let namespace = r#"[{"metadata":{"name":"ns","labels":{"team":"t"}}}]"#;
    check(
        Kind::Ingress,
        &[(Kind::Ingress, ingress), (Kind::Namespace, namespace)],
        "{namespace: true}",
        r#"
ingress/ns/i {~ingress_class_name="k", ~ingress_name="i", ~namespace="ns", ~namespace_label_team="t", ~namespace_labelpresent_team="true"}
  {__address__="a.example", ~ingress_host="a.example", ~ingress_path="/x", ~ingress_scheme="https"}
  {__address__="a.example", ~ingress_host="a.example", ~ingress_path="/", ~ingress_scheme="https"}
  {__address__="b.a.example", ~ingress_host="b.a.example", ~ingress_path="/", ~ingress_scheme="http"}"#,
    );
}

#[test]
fn a_list_is_followed() {
    let watches = Mutex::new(0);
    let server = FakeServer::http(move |asked| {
        assert_eq!(asked.header("authorization"), "Bearer t");
        let item = |name: &str, version: u32| {
            format!(
                r#"{{"metadata":{{"name":"{name}","namespace":"ns","resourceVersion":"{version}"}}}}"#
            )
        };
        match asked.target.as_str() {
            "/api/v1/namespaces/ns/services?labelSelector=a%3Db&limit=500" => reply_json(format!(
                r#"{{"metadata":{{"continue":"more"}},"items":[{}]}}"#,
                item("one", 1)
            )),
            "/api/v1/namespaces/ns/services?labelSelector=a%3Db&limit=500&continue=more" => {
                reply_json(format!(
                    r#"{{"metadata":{{"resourceVersion":"5"}},"items":[{}]}}"#,
                    item("two", 2)
                ))
            }
            watch => {
                let mut watches = watches.lock().unwrap();
                *watches += 1;
                let since = watch.rsplit('=').next().unwrap();
                match *watches {
                    1 => {
                        assert_eq!(since, "5");
                        reply_json(format!(
                            "{{\"type\":\"ADDED\",\"object\":{}}}\n{{\"type\":\"DELETED\",\"object\":{}}}\n\
                             {{\"type\":\"BOOKMARK\",\"object\":{{\"metadata\":{{\"resourceVersion\":\"9\"}}}}}}\n",
                            item("three", 6),
                            item("one", 7)
                        ))
                    }
                    2 => reply_json("{\"type\":\"ERROR\",\"object\":{\"code\":410}}\n"),
                    3 => reply_json(
                        "{\"type\":\"ERROR\",\"object\":{\"code\":500,\"message\":\"no\"}}\n",
                    ),
                    _ => reply_status(410, ("a", "b")),
                }
            }
        }
    });
    let mut config = KubernetesSdConfig::default();
    let text = format!(
        "role: service\napi_server: {}\nnamespaces: {{names: [ns]}}\n\
         selectors: [{{role: service, label: a=b}}]\nauthorization: {{credentials: t}}",
        server.url("")
    );
    yaml::decode(&text, &mut config).unwrap_or_else(|abort| panic!("{}", abort.message));
    let shared = Rc::new(Shared {
        stores: RefCell::default(),
        changed: Notify::new(),
        unsynced: Cell::new(0),
        role: "service".to_owned(),
    });
    let stats = Arc::new(DiscoveryStats::default());
    let (reporter, _found) = Reporter::for_tests(stats.clone());
    on_control(async {
        let reflector = &reflectors(&config, Access::of(&config).ok().unwrap(), &shared)[0];
        let names = || -> Vec<String> {
            shared.stores.borrow().of(Kind::Service).keys().cloned().collect()
        };
        assert_eq!(reflector.list(&reporter).await.as_deref(), Ok("5"));
        assert_eq!(names(), ["ns/one", "ns/two"]);
        assert_eq!(reflector.watch("5", &reporter).await, Ok(Ended::At("9".into())));
        assert_eq!(names(), ["ns/three", "ns/two"]);
        assert_eq!(reflector.watch("9", &reporter).await, Ok(Ended::Lost));
        assert_eq!(reflector.watch("9", &reporter).await, Err("no".into()));
        assert_eq!(reflector.watch("9", &reporter).await, Ok(Ended::Lost));
    });
    let events = stats.counts().kubernetes_events.clone();
    assert_eq!(events[&("service".to_owned(), "add")], 1);
    assert_eq!(events[&("service".to_owned(), "delete")], 1);
}

#[test]
fn a_role_knows_what_it_needs() {
    let check = |text: &str, expected: &[Kind]| {
        let mut config = KubernetesSdConfig::default();
        yaml::decode(text, &mut config).ok().unwrap();
        assert_eq!(kinds(&config), expected, "{text}");
    };
    check("role: node", &[Kind::Node]);
    check("role: pod\nattach_metadata: {node: true}", &[Kind::Pod, Kind::Node]);
    check("role: endpoints", &[Kind::Endpoints, Kind::Service, Kind::Pod]);
    check("role: ingress\nattach_metadata: {namespace: true}", &[Kind::Ingress, Kind::Namespace]);
}
