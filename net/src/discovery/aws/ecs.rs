//! `ecs_sd_configs`: tasks of the clusters of ECS, with what is known of their services and of the
//! machines they run on.
//!
//! A cluster whose services, tasks or machines cannot be read is left out with an error in the log.
//!
//! Source: Prometheus `discovery/aws/ecs.go`; the ECS and EC2 APIs.

use std::collections::{BTreeMap, BTreeSet};

use engine::model::Labels;
use serde_json::{Value, json};

use super::{Places, Service, access, ec2};
use crate::config::EcsSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::{Api, Meta, host_port, items, one_group, text, texts};
use crate::discovery::xml::Element;
use crate::log_error;

/// As many as one request may describe.
const SERVICE_COUNT_MAX: usize = 10;
const COUNT_MAX: usize = 100;

pub async fn refresh(config: &EcsSdConfig, api: &mut Api) -> Result<Vec<TargetGroup>, String> {
    refresh_at(config, api, &Places::default()).await
}

async fn refresh_at(
    config: &EcsSdConfig,
    api: &mut Api,
    places: &Places,
) -> Result<Vec<TargetGroup>, String> {
    let mut ecs = Service::new("ecs", &access!(config), api, places).await?;
    let names = match config.clusters.is_empty() {
        true => {
            let listed = list(&mut ecs, "ListClusters", "clusterArns", json!({})).await;
            listed.map_err(|why| format!("could not list clusters: {why}"))?
        }
        false => config.clusters.clone(),
    };
    let clusters =
        describe(&mut ecs, "DescribeClusters", "clusters", &names, COUNT_MAX, json!({})).await;
    let clusters =
        clusters.map_err(|why| format!("could not describe clusters {names:?}: {why}"))?;
    let mut targets = vec![];
    for cluster in &clusters {
        let arn = text(&cluster["clusterArn"]);
        let found = of_cluster(config, &mut ecs, cluster, &arn).await;
        match found {
            Ok(found) => targets.extend(found),
            Err(Failure::List(why)) => return Err(why),
            Err(Failure::Describe(why)) => {
                log_error!("Failed to describe a cluster", "cluster" = arn, "err" = why);
            }
        }
    }
    Ok(one_group(&ecs.region, targets))
}

enum Failure {
    /// What there is could not be listed: the refresh fails.
    List(String),
    /// The cluster is left out.
    Describe(String),
}

/// The texts of all pages of a list.
async fn list(
    ecs: &mut Service<'_>,
    action: &str,
    key: &str,
    body: Value,
) -> Result<Vec<String>, String> {
    let (mut all, mut body) = (vec![], body);
    body["maxResults"] = COUNT_MAX.into();
    loop {
        let answer = ecs.json(&target(action), &body).await?;
        all.extend(texts(&answer[key]));
        match answer["nextToken"].as_str() {
            Some(next) => body["nextToken"] = next.into(),
            None => return Ok(all),
        }
    }
}

fn target(action: &str) -> String {
    format!("AmazonEC2ContainerServiceV20141113.{action}")
}

/// What is said about `names`, which the request has under `key`, some at a time.
async fn describe(
    ecs: &mut Service<'_>,
    action: &str,
    key: &str,
    names: &[String],
    count_max: usize,
    body: Value,
) -> Result<Vec<Value>, String> {
    let (mut all, mut body) = (vec![], body);
    for names in names.chunks(count_max) {
        body[key] = names.into();
        // Machines have no tags of their own here.
        if key != "containerInstances" {
            body["include"] = json!(["TAGS"]);
        }
        let mut answer = ecs.json(&target(action), &body).await?;
        if let Some(found) = answer[key].as_array_mut() {
            all.append(found);
        }
    }
    Ok(all)
}

async fn of_cluster(
    config: &EcsSdConfig,
    ecs: &mut Service<'_>,
    cluster: &Value,
    arn: &str,
) -> Result<Vec<Labels>, Failure> {
    let body = json!({"cluster": arn});
    let services = list(ecs, "ListServices", "serviceArns", body.clone()).await;
    let services = services.map_err(|why| {
        Failure::List(format!("could not list services for cluster {arn:?}: {why}"))
    })?;
    let tasks = list(ecs, "ListTasks", "taskArns", body.clone()).await;
    let tasks = tasks
        .map_err(|why| Failure::List(format!("could not list tasks for cluster {arn:?}: {why}")))?;
    if tasks.is_empty() {
        return Ok(vec![]);
    }
    details(config, ecs, cluster, body, &services, &tasks).await.map_err(Failure::Describe)
}

async fn details(
    config: &EcsSdConfig,
    ecs: &mut Service<'_>,
    cluster: &Value,
    body: Value,
    services: &[String],
    tasks: &[String],
) -> Result<Vec<Labels>, String> {
    let services =
        describe(ecs, "DescribeServices", "services", services, SERVICE_COUNT_MAX, body.clone())
            .await?;
    let tasks = describe(ecs, "DescribeTasks", "tasks", tasks, COUNT_MAX, body.clone()).await?;
    let instances: Vec<String> = tasks
        .iter()
        .filter_map(|task| task["containerInstanceArn"].as_str())
        .map(str::to_owned)
        .collect();
    let action = "DescribeContainerInstances";
    let hosts = describe(ecs, action, "containerInstances", &instances, COUNT_MAX, body).await?;
    let around = Around {
        services: services.into_iter().map(|s| (text(&s["serviceName"]), s)).collect(),
        hosts: hosts
            .iter()
            .map(|host| (text(&host["containerInstanceArn"]), text(&host["ec2InstanceId"])))
            .collect(),
        interfaces: public_addresses(&mut ecs.ec2(), &tasks).await?,
        machines: BTreeMap::new(),
    };
    let machines = machines(&mut ecs.ec2(), &around.hosts).await?;
    let around = Around { machines, ..around };
    let targets =
        tasks.iter().filter_map(|task| task_target(config, &ecs.region, cluster, task, &around));
    Ok(targets.collect())
}

/// What is known beside a cluster's tasks.
struct Around {
    /// By name.
    services: BTreeMap<String, Value>,
    /// Ids of machines by the container instance.
    hosts: BTreeMap<String, String>,
    machines: BTreeMap<String, Element>,
    /// Public addresses by the network interface.
    interfaces: BTreeMap<String, String>,
}

/// The interface of a task that has one of its own, as names and values.
fn own_interface(task: &Value) -> Option<BTreeMap<String, String>> {
    let mut attachments = items(&task["attachments"]).iter();
    let found = attachments.find(|attachment| attachment["type"] == "ElasticNetworkInterface")?;
    let details = items(&found["details"]).iter();
    Some(details.map(|detail| (text(&detail["name"]), text(&detail["value"]))).collect())
}

async fn public_addresses(
    ec2: &mut Service<'_>,
    tasks: &[Value],
) -> Result<BTreeMap<String, String>, String> {
    let ids: BTreeSet<String> = tasks
        .iter()
        .filter_map(|task| own_interface(task)?.get("networkInterfaceId").cloned())
        .filter(|id| !id.is_empty())
        .collect();
    let found =
        by_ids(ec2, "DescribeNetworkInterfaces", "networkInterfaceSet", "NetworkInterfaceId", &ids);
    let found =
        found.await.map_err(|why| format!("could not describe network interfaces: {why}"))?;
    let public = |interface: &Element| {
        let address = interface.text_at(&["association", "publicIp"]);
        (interface.text_at(&["networkInterfaceId"]).to_owned(), address.to_owned())
    };
    Ok(found.iter().map(public).collect())
}

async fn machines(
    ec2: &mut Service<'_>,
    hosts: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Element>, String> {
    let ids: BTreeSet<String> = hosts.values().filter(|id| !id.is_empty()).cloned().collect();
    let found = by_ids(ec2, "DescribeInstances", "reservationSet", "InstanceId", &ids).await;
    let found = found.map_err(|why| format!("could not describe EC2 instances: {why}"))?;
    let instances = found.iter().flat_map(|reservation| ec2::list(reservation, "instancesSet"));
    let has_address = |machine: &&Element| !machine.text_at(&["privateIpAddress"]).is_empty();
    let by_id = |machine: &Element| (machine.text_at(&["instanceId"]).to_owned(), machine.clone());
    Ok(instances.filter(has_address).map(by_id).collect())
}

async fn by_ids(
    ec2: &mut Service<'_>,
    action: &str,
    set: &str,
    name: &str,
    ids: &BTreeSet<String>,
) -> Result<Vec<Element>, String> {
    if ids.is_empty() {
        return Ok(vec![]);
    }
    let named = (1..).zip(ids).map(|(index, id)| (format!("{name}.{index}"), id.clone()));
    ec2::all(ec2, action, set, &named.collect::<Vec<_>>()).await
}

/// None for a task without an address.
fn task_target(
    config: &EcsSdConfig,
    region: &str,
    cluster: &Value,
    task: &Value,
    around: &Around,
) -> Option<Labels> {
    let container_instance = text(&task["containerInstanceArn"]);
    let host = around.hosts.get(&container_instance);
    let machine = host.and_then(|id| around.machines.get(id));
    let of_machine = |name: &str| machine.map_or("", |machine| machine.text_at(&[name])).to_owned();
    let (mode, address, subnet, public) = match own_interface(task) {
        Some(interface) => {
            let detail = |name: &str| interface.get(name).cloned().unwrap_or_default();
            let public = around.interfaces.get(&detail("networkInterfaceId")).cloned();
            let public = public.unwrap_or_default();
            ("awsvpc", detail("privateIPv4Address"), detail("subnetId"), public)
        }
        None if !container_instance.is_empty() => (
            "bridge",
            of_machine("privateIpAddress"),
            of_machine("subnetId"),
            of_machine("ipAddress"),
        ),
        None => return None,
    };
    if address.is_empty() {
        return None;
    }
    let mut meta = Meta::new("__meta_ecs_");
    meta.address(host_port(&address, config.port))
        .set("region", region)
        .set("ip_address", &address)
        .set("network_mode", mode)
        .set("subnet_id", subnet)
        .set("public_ip", public)
        .set("ec2_instance_id", host.map_or("", String::as_str))
        .set("ec2_instance_type", of_machine("instanceType"))
        .set("ec2_instance_private_ip", of_machine("privateIpAddress"))
        .set("ec2_instance_public_ip", of_machine("ipAddress"))
        .copy(cluster, &[("cluster_arn", "clusterArn"), ("cluster", "clusterName")])
        .copy(
            task,
            &[
                ("launch_type", "launchType"),
                ("health_status", "healthStatus"),
                ("task_group", "group"),
                ("task_arn", "taskArn"),
                ("task_definition", "taskDefinitionArn"),
                ("availability_zone", "availabilityZone"),
                ("desired_status", "desiredStatus"),
                ("last_status", "lastStatus"),
                ("container_instance_arn", "containerInstanceArn"),
                ("platform_family", "platformFamily"),
                ("platform_version", "platformVersion"),
            ],
        )
        .set_tags("tag_cluster_", &cluster["tags"], "key", "value")
        .set_tags("tag_task_", &task["tags"], "key", "value");
    let group = text(&task["group"]);
    if let Some(service) = group.strip_prefix("service:").and_then(|n| around.services.get(n)) {
        let fields = [
            ("service", "serviceName"),
            ("service_arn", "serviceArn"),
            ("service_status", "status"),
        ];
        meta.copy(service, &fields).set_tags("tag_service_", &service["tags"], "key", "value");
    }
    for tag in machine.into_iter().flat_map(|machine| ec2::list(machine, "tagSet")) {
        meta.set_free("tag_ec2_", tag.text_at(&["key"]), tag.text_at(&["value"]));
    }
    Some(meta.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    #[track_caller]
    fn check(exchanges: &[(&str, &str)], expected: &str) {
        check_provider::<EcsSdConfig>(
            "{endpoint: SERVER/ecs, region: r1, access_key: id, secret_key: s}",
            exchanges,
            async |config, api, base| {
                let places = Places { ec2: Some(format!("{base}/ec2/")), ..Places::default() };
                refresh_at(config, api, &places).await
            },
            expected,
        );
    }

    const CLUSTERS: &[(&str, &str)] = &[
        (
            "POST /ecs/\nx-amz-target: AmazonEC2ContainerServiceV20141113.ListClusters\n{\"maxResults\":100}",
            r#"{"clusterArns":["c"]}"#,
        ),
        (
            "POST /ecs/\nx-amz-target: AmazonEC2ContainerServiceV20141113.DescribeClusters\n\
             {\"clusters\":[\"c\"],\"include\":[\"TAGS\"]}",
            r#"{"clusters":[{"clusterArn":"c","clusterName":"cn","tags":[{"key":"k","value":"v"}]}]}"#,
        ),
    ];

    #[test]
    fn tasks() {
        let mut exchanges = CLUSTERS.to_vec();
        exchanges.extend([
            (
                "POST /ecs/\nx-amz-target: AmazonEC2ContainerServiceV20141113.ListServices\n\
                 {\"cluster\":\"c\",\"maxResults\":100}",
                r#"{"serviceArns":["s"]}"#,
            ),
            (
                "POST /ecs/\nx-amz-target: AmazonEC2ContainerServiceV20141113.ListTasks\n\
                 {\"cluster\":\"c\",\"maxResults\":100}",
                r#"{"taskArns":["t1"],"nextToken":"n"}"#,
            ),
            (
                "POST /ecs/\n{\"cluster\":\"c\",\"maxResults\":100,\"nextToken\":\"n\"}",
                r#"{"taskArns":["t2","t3"]}"#,
            ),
            (
                "POST /ecs/\nx-amz-target: AmazonEC2ContainerServiceV20141113.DescribeServices",
                r#"{"services":[{"serviceName":"web","serviceArn":"s","status":"ACTIVE",
                "tags":[{"key":"sk","value":"sv"}]}]}"#,
            ),
            (
                "POST /ecs/\nx-amz-target: AmazonEC2ContainerServiceV20141113.DescribeTasks\n\
                 {\"cluster\":\"c\",\"tasks\":[\"t1\",\"t2\",\"t3\"],\"include\":[\"TAGS\"]}",
                r#"{"tasks":[{"taskArn":"t1","group":"service:web","launchType":"FARGATE",
                "healthStatus":"HEALTHY","lastStatus":"RUNNING","desiredStatus":"RUNNING",
                "taskDefinitionArn":"d","availabilityZone":"r1a","platformFamily":"Linux",
                "platformVersion":"1.4.0","tags":[{"key":"tk","value":"tv"}],"attachments":[{"type":
                "ElasticNetworkInterface","details":[{"name":"privateIPv4Address","value":"10.0.0.1"},
                {"name":"subnetId","value":"sub"},{"name":"networkInterfaceId","value":"eni"}]}]},
                {"taskArn":"t2","group":"family:x","launchType":"EC2","containerInstanceArn":"ci"},
                {"taskArn":"t3"}]}"#,
            ),
            (
                "POST /ecs/\nx-amz-target: AmazonEC2ContainerServiceV20141113.DescribeContainerInstances\n\
                 {\"cluster\":\"c\",\"containerInstances\":[\"ci\"]}",
                r#"{"containerInstances":[{"containerInstanceArn":"ci","ec2InstanceId":"i-1"}]}"#,
            ),
            (
                "POST /ec2/\n=Action=DescribeNetworkInterfaces&Version=2016-11-15&NetworkInterfaceId.1=eni",
                "200\n<R><networkInterfaceSet><item><networkInterfaceId>eni</networkInterfaceId>\
                 <association><publicIp>5.5.5.5</publicIp></association></item></networkInterfaceSet></R>",
            ),
            (
                "POST /ec2/\n=Action=DescribeInstances&Version=2016-11-15&InstanceId.1=i-1",
                "200\n<R><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId>\
                 <privateIpAddress>10.0.0.9</privateIpAddress><ipAddress>6.6.6.6</ipAddress>\
                 <subnetId>host-sub</subnetId><instanceType>t3</instanceType><tagSet><item><key>ek\
                 </key><value>ev</value></item></tagSet></item></instancesSet></item></reservationSet></R>",
            ),
        ]);
        check(
            &exchanges,
            r#"
r1 {}
  {__address__="10.0.0.1:80", __meta_ecs_availability_zone="r1a", __meta_ecs_cluster="cn", __meta_ecs_cluster_arn="c", __meta_ecs_desired_status="RUNNING", __meta_ecs_health_status="HEALTHY", __meta_ecs_ip_address="10.0.0.1", __meta_ecs_last_status="RUNNING", __meta_ecs_launch_type="FARGATE", __meta_ecs_network_mode="awsvpc", __meta_ecs_platform_family="Linux", __meta_ecs_platform_version="1.4.0", __meta_ecs_public_ip="5.5.5.5", __meta_ecs_region="r1", __meta_ecs_service="web", __meta_ecs_service_arn="s", __meta_ecs_service_status="ACTIVE", __meta_ecs_subnet_id="sub", __meta_ecs_tag_cluster_k="v", __meta_ecs_tag_service_sk="sv", __meta_ecs_tag_task_tk="tv", __meta_ecs_task_arn="t1", __meta_ecs_task_definition="d", __meta_ecs_task_group="service:web"}
  {__address__="10.0.0.9:80", __meta_ecs_cluster="cn", __meta_ecs_cluster_arn="c", __meta_ecs_container_instance_arn="ci", __meta_ecs_ec2_instance_id="i-1", __meta_ecs_ec2_instance_private_ip="10.0.0.9", __meta_ecs_ec2_instance_public_ip="6.6.6.6", __meta_ecs_ec2_instance_type="t3", __meta_ecs_ip_address="10.0.0.9", __meta_ecs_launch_type="EC2", __meta_ecs_network_mode="bridge", __meta_ecs_public_ip="6.6.6.6", __meta_ecs_region="r1", __meta_ecs_subnet_id="host-sub", __meta_ecs_tag_cluster_k="v", __meta_ecs_tag_ec2_ek="ev", __meta_ecs_task_arn="t2", __meta_ecs_task_group="family:x"}"#,
        );
    }

    #[test]
    fn refusals() {
        let services = "POST /ecs/\nx-amz-target: AmazonEC2ContainerServiceV20141113.ListServices";
        let mut exchanges = CLUSTERS.to_vec();
        exchanges.push((services, "400\nno"));
        check(
            &exchanges,
            "could not list services for cluster \"c\": server returned HTTP status 400 Bad Request: no",
        );
    }
}
