//! `ec2_sd_configs`: virtual machines of one region of AWS.
//!
//! Source: Prometheus `discovery/aws/ec2.go`; the EC2 Query API.

mod credentials;
mod signer;

use std::collections::BTreeMap;

use engine::model::Labels;
use shards::runtime;

use self::credentials::{METADATA, credentials, region};
pub use self::signer::Signer;
use super::TargetGroup;
use super::api::{Api, Meta, host_port, joined, one_group};
use super::xml::{self, Element};
use crate::config::Ec2SdConfig;
use crate::http::sigv4::sign;
use crate::http::url::{Url, escape_query};

/// Version of the API.
const VERSION: &str = "2016-11-15";

pub async fn ec2(config: &Ec2SdConfig, api: &mut Api) -> Result<Vec<TargetGroup>, String> {
    if !config.role_arn.is_empty() {
        return Err("role_arn is not supported".to_owned());
    }
    let region = region(&config.region, api, METADATA).await?;
    let endpoint = match config.endpoint.as_str() {
        "" => format!("https://ec2.{region}.amazonaws.com/"),
        endpoint if endpoint.contains("://") => endpoint.to_owned(),
        endpoint => format!("https://{endpoint}/"),
    };
    let zones = ask(config, api, &endpoint, &region, "DescribeAvailabilityZones", &[]).await;
    // Without them the zones' ids are left out.
    let zones = zones.map(|answer| zone_ids(&answer)).unwrap_or_default();
    let mut targets = vec![];
    let mut next = String::new();
    loop {
        let mut parameters: Vec<(String, String)> = vec![];
        for (index, filter) in (1..).zip(&config.filters) {
            parameters.push((format!("Filter.{index}.Name"), filter.name.clone()));
            for (number, value) in (1..).zip(&filter.values) {
                parameters.push((format!("Filter.{index}.Value.{number}"), value.clone()));
            }
        }
        if !next.is_empty() {
            parameters.push(("NextToken".to_owned(), next));
        }
        let action = "DescribeInstances";
        let answer = ask(config, api, &endpoint, &region, action, &parameters).await;
        let answer = answer.map_err(|why| format!("could not describe instances: {why}"))?;
        for reservation in list(&answer, "reservationSet") {
            let owner = reservation.text_at(&["ownerId"]);
            let instances = list(reservation, "instancesSet");
            targets.extend(instances.filter_map(|i| target(config, i, owner, &region, &zones)));
        }
        next = answer.text_at(&["nextToken"]).to_owned();
        if next.is_empty() {
            return Ok(one_group(&region, targets));
        }
    }
}

async fn ask(
    config: &Ec2SdConfig,
    api: &mut Api,
    endpoint: &str,
    region: &str,
    action: &str,
    parameters: &[(String, String)],
) -> Result<Element, String> {
    // The signature of the request before is nobody else's business.
    api.headers.remove(http::header::AUTHORIZATION);
    let credentials =
        credentials(&config.access_key, config.secret_key.reveal(), &config.profile, api, METADATA)
            .await?;
    let mut body = format!("Action={action}&Version={VERSION}");
    for (name, value) in parameters {
        let value = escape_query(value).replace('+', "%20");
        body.push_str(&format!("&{name}={value}"));
    }
    let url = Url::parse(endpoint)?;
    let now_seconds = runtime::unix_ms() / 1000;
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    let signed = sign(&credentials, &url, "ec2", region, form, body.as_bytes(), now_seconds);
    for (name, value) in signed {
        api.header(name, &value)?;
    }
    let (_, answer) = api.send(http::Method::POST, endpoint, body.into_bytes()).await?;
    xml::parse(&String::from_utf8_lossy(&answer))
}

fn list<'a>(element: &'a Element, name: &str) -> impl Iterator<Item = &'a Element> + use<'a> {
    element.child(name).into_iter().flat_map(|list| list.all("item"))
}

fn zone_ids(answer: &Element) -> BTreeMap<String, String> {
    let id = |zone: &Element| {
        (zone.text_at(&["zoneName"]).to_owned(), zone.text_at(&["zoneId"]).to_owned())
    };
    list(answer, "availabilityZoneInfo").map(id).collect()
}

/// None for a machine without an address.
fn target(
    config: &Ec2SdConfig,
    instance: &Element,
    owner: &str,
    region: &str,
    zones: &BTreeMap<String, String>,
) -> Option<Labels> {
    let text = |path: &[&str]| instance.text_at(path).to_owned();
    let (mut all_ipv6, mut primary_ipv6, mut subnets) = (vec![], vec![], vec![]);
    let mut default_ipv6 = String::new();
    for interface in list(instance, "networkInterfaceSet") {
        for address in list(interface, "ipv6AddressesSet") {
            let ip = address.text_at(&["ipv6Address"]).to_owned();
            let is_first = interface.text_at(&["attachment", "deviceIndex"]) == "0";
            let is_primary = address.text_at(&["isPrimaryIpv6"]) == "true";
            if is_primary {
                primary_ipv6.push(ip.clone());
            }
            if is_first && (default_ipv6.is_empty() || is_primary) {
                default_ipv6.clone_from(&ip);
            }
            all_ipv6.push(ip);
        }
        let subnet = interface.text_at(&["subnetId"]).to_owned();
        if !subnet.is_empty() && !subnets.contains(&subnet) {
            subnets.push(subnet);
        }
    }
    if default_ipv6.is_empty() {
        default_ipv6 = all_ipv6.first().cloned().unwrap_or_default();
    }
    let private = text(&["privateIpAddress"]);
    let address = if private.is_empty() { &default_ipv6 } else { &private };
    if address.is_empty() {
        return None;
    }
    let zone = text(&["placement", "availabilityZone"]);
    let list_of = |texts: &[String]| match texts.is_empty() {
        true => String::new(),
        false => joined(texts, ","),
    };
    let mut meta = Meta::new("__meta_ec2_");
    meta.address(host_port(address, config.port))
        .set("instance_id", text(&["instanceId"]))
        .set("region", region)
        .set("owner_id", owner)
        .set("default_ipv6_address", &default_ipv6)
        .set("private_ip", &private)
        .set("private_dns_name", text(&["privateDnsName"]))
        .set("platform", text(&["platform"]))
        .set("primary_ipv6_addresses", list_of(&primary_ipv6))
        .set("ipv6_addresses", list_of(&all_ipv6))
        .set("ami", text(&["imageId"]))
        .set("availability_zone", &zone)
        .set("availability_zone_id", zones.get(&zone).map_or("", String::as_str))
        .set("instance_state", text(&["instanceState", "name"]))
        .set("instance_type", text(&["instanceType"]))
        .set("instance_lifecycle", text(&["instanceLifecycle"]))
        .set("architecture", text(&["architecture"]));
    let public = text(&["ipAddress"]);
    if !public.is_empty() {
        meta.set("public_ip", public).set("public_dns_name", text(&["dnsName"]));
    }
    let vpc = text(&["vpcId"]);
    if !vpc.is_empty() {
        meta.set("vpc_id", vpc)
            .set("primary_subnet_id", text(&["subnetId"]))
            .set("subnet_id", joined(&subnets, ","));
    }
    for tag in list(instance, "tagSet") {
        meta.set_free("tag_", tag.text_at(&["key"]), tag.text_at(&["value"]));
    }
    Some(meta.finish())
}

#[cfg(test)]
mod tests {
    use super::ec2;
    use crate::config::{Ec2SdConfig, yaml};
    use crate::discovery::api::Api;
    use crate::discovery::api::testing::check;
    use crate::http::testing::{FakeServer, reply, reply_status};
    use std::time::Duration;

    #[test]
    fn machines() {
        let server = FakeServer::http(|asked| {
            let authorization = asked.header("authorization");
            assert!(
                authorization.starts_with("AWS4-HMAC-SHA256 Credential=id/"),
                "{authorization}"
            );
            assert!(
                authorization.contains("/r1/ec2/aws4_request, SignedHeaders=content-type;host;")
            );
            let body = String::from_utf8_lossy(&asked.body).into_owned();
            if body.starts_with("Action=DescribeAvailabilityZones&") {
                return reply(
                    "<R><availabilityZoneInfo><item><zoneName>r1a</zoneName><zoneId>z1</zoneId>\
                     </item></availabilityZoneInfo></R>",
                );
            }
            let filters = "&Filter.1.Name=tag%3Aa&Filter.1.Value.1=x%20y";
            if body == format!("Action=DescribeInstances&Version=2016-11-15{filters}") {
                return reply(
                    "<R><reservationSet><item><ownerId>o</ownerId><instancesSet><item>\
                     <instanceId>i-1</instanceId><imageId>ami</imageId><instanceState><name>running\
                     </name></instanceState><privateIpAddress>10.0.0.1</privateIpAddress>\
                     <privateDnsName>p.int</privateDnsName><ipAddress>5.5.5.5</ipAddress>\
                     <dnsName>p.ext</dnsName><vpcId>v</vpcId><subnetId>s1</subnetId>\
                     <placement><availabilityZone>r1a</availabilityZone></placement>\
                     <instanceType>t3</instanceType><tagSet><item><key>Na-me</key><value>n</value>\
                     </item></tagSet><networkInterfaceSet><item><subnetId>s1</subnetId></item>\
                     <item><subnetId>s2</subnetId></item></networkInterfaceSet></item>\
                     <item><instanceId>none</instanceId></item></instancesSet></item>\
                     </reservationSet><nextToken>n/2</nextToken></R>",
                );
            }
            if body.ends_with("&NextToken=n%2F2") {
                return reply("<R><reservationSet/></R>");
            }
            reply_status(403, ("a", "b"))
        });
        let mut config = Ec2SdConfig::default();
        let text = format!(
            "endpoint: {}\nregion: r1\naccess_key: id\nsecret_key: s\n\
             filters: [{{name: 'tag:a', values: ['x y']}}]",
            server.url("/")
        );
        yaml::decode(&text, &mut config).ok().unwrap();
        let mut api = Api::plain(Duration::from_secs(5));
        check(
            ec2(&config, &mut api),
            r#"
r1 {}
  {__address__="10.0.0.1:80", __meta_ec2_ami="ami", __meta_ec2_availability_zone="r1a", __meta_ec2_availability_zone_id="z1", __meta_ec2_instance_id="i-1", __meta_ec2_instance_state="running", __meta_ec2_instance_type="t3", __meta_ec2_owner_id="o", __meta_ec2_primary_subnet_id="s1", __meta_ec2_private_dns_name="p.int", __meta_ec2_private_ip="10.0.0.1", __meta_ec2_public_dns_name="p.ext", __meta_ec2_public_ip="5.5.5.5", __meta_ec2_region="r1", __meta_ec2_subnet_id=",s1,s2,", __meta_ec2_tag_Na_me="n", __meta_ec2_vpc_id="v"}"#,
        );
    }
}
