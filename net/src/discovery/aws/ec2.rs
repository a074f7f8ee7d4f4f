//! `ec2_sd_configs`: virtual machines of one region.
//!
//! Source: Prometheus `discovery/aws/ec2.go`; the EC2 Query API.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::model::Labels;
use serde_json::Value;

use super::{Places, Service, access};
use crate::config::Ec2SdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::{Api, Meta, host_port, joined, one_group, pairs};
use crate::discovery::xml::Element;
use crate::log_debug;

/// Version of the API.
pub const VERSION: &str = "2016-11-15";

/// Ids of zones are read again after a day; Prometheus reads them once.
const ZONES_LIFETIME: Duration = Duration::from_secs(86400);

/// A bound on what a machine says of itself.
const DEVICE_INDEX_MAX: usize = 1000;

pub async fn refresh(config: &Ec2SdConfig, api: &mut Api) -> Result<Vec<TargetGroup>, String> {
    let mut ec2 = Service::new("ec2", &access!(config), api, &Places::default()).await?;
    let zones = zones(&mut ec2).await;
    let mut filters = vec![];
    for (index, filter) in (1..).zip(&config.filters) {
        filters.push((format!("Filter.{index}.Name"), filter.name.clone()));
        for (number, value) in (1..).zip(&filter.values) {
            filters.push((format!("Filter.{index}.Value.{number}"), value.clone()));
        }
    }
    let reservations = all(&mut ec2, "DescribeInstances", "reservationSet", &filters).await;
    let reservations =
        reservations.map_err(|why| format!("could not describe instances: {why}"))?;
    let mut targets = vec![];
    for reservation in &reservations {
        let owner = reservation.text_at(&["ownerId"]);
        let instances = list(reservation, "instancesSet");
        targets.extend(instances.filter_map(|i| target(config, i, owner, &ec2.region, &zones)));
    }
    Ok(one_group(&ec2.region, targets))
}

/// The items of all pages of an action.
pub async fn all(
    ec2: &mut Service<'_>,
    action: &str,
    set: &str,
    parameters: &[(String, String)],
) -> Result<Vec<Element>, String> {
    let mut items = vec![];
    let mut next = String::new();
    loop {
        let mut parameters = parameters.to_vec();
        if !next.is_empty() {
            parameters.push(("NextToken".to_owned(), next));
        }
        let answer = ec2.query(VERSION, action, &parameters).await?;
        items.extend(list(&answer, set).cloned());
        next = answer.text_at(&["nextToken"]).to_owned();
        if next.is_empty() {
            return Ok(items);
        }
    }
}

/// Ids of zones by their names; without them the label is left out.
async fn zones(ec2: &mut Service<'_>) -> BTreeMap<String, String> {
    if let Some(kept) = ec2.api.memory.get("zones") {
        return pairs(kept).map(|(name, id)| (name.to_owned(), id)).collect();
    }
    match ec2.query(VERSION, "DescribeAvailabilityZones", &[]).await {
        Ok(answer) => {
            let zones = zone_ids(&answer);
            let kept: Value = zones.iter().map(|(name, id)| (name.clone(), id.clone())).collect();
            ec2.api.memory.put("zones", kept, ZONES_LIFETIME);
            zones
        }
        Err(why) => {
            log_debug!("Unable to describe availability zones", "err" = why);
            BTreeMap::new()
        }
    }
}

pub fn list<'a>(element: &'a Element, name: &str) -> impl Iterator<Item = &'a Element> + use<'a> {
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
    let vpc = text(&["vpcId"]);
    let interfaces = list(instance, "networkInterfaceSet").filter(|_| !vpc.is_empty());
    for interface in interfaces {
        let subnet = interface.text_at(&["subnetId"]).to_owned();
        if subnet.is_empty() {
            continue;
        }
        for address in list(interface, "ipv6AddressesSet") {
            let ip = address.text_at(&["ipv6Address"]).to_owned();
            if address.text_at(&["isPrimaryIpv6"]) == "true" {
                // At the place of its device; places without one stay empty.
                let index = interface.text_at(&["attachment", "deviceIndex"]);
                let index = index.parse::<usize>().unwrap_or(0).min(DEVICE_INDEX_MAX);
                if primary_ipv6.len() <= index {
                    primary_ipv6.resize(index + 1, String::new());
                }
                primary_ipv6[index].clone_from(&ip);
            }
            all_ipv6.push(ip);
        }
        if !subnets.contains(&subnet) {
            subnets.push(subnet);
        }
    }
    let mut by_preference = primary_ipv6.iter().chain(&all_ipv6);
    let default_ipv6 = by_preference.find(|ip| !ip.is_empty()).cloned().unwrap_or_default();
    let private = text(&["privateIpAddress"]);
    let address = if private.is_empty() { &default_ipv6 } else { &private };
    if address.is_empty() {
        return None;
    }
    let zone = text(&["placement", "availabilityZone"]);
    let mut meta = Meta::new("__meta_ec2_");
    meta.address(host_port(address, config.port))
        .set("region", region)
        .set("owner_id", owner)
        .set("default_ipv6_address", &default_ipv6)
        .set("availability_zone_id", zones.get(&zone).map_or("", String::as_str))
        .set_joined("primary_ipv6_addresses", &primary_ipv6, ",")
        .set_joined("ipv6_addresses", &all_ipv6, ",")
        .copy(
            instance,
            &[
                ("instance_id", "instanceId"),
                ("private_ip", "privateIpAddress"),
                ("private_dns_name", "privateDnsName"),
                ("platform", "platform"),
                ("ami", "imageId"),
                ("availability_zone", "placement.availabilityZone"),
                ("instance_state", "instanceState.name"),
                ("instance_type", "instanceType"),
                ("instance_lifecycle", "instanceLifecycle"),
                ("architecture", "architecture"),
            ],
        );
    let public = text(&["ipAddress"]);
    if !public.is_empty() {
        meta.set("public_ip", public).set("public_dns_name", text(&["dnsName"]));
    }
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
    use super::refresh;
    use crate::config::Ec2SdConfig;
    use crate::discovery::api::testing::{Exchange, check_provider};

    const SECTION: &str = "{endpoint: SERVER, region: r1, access_key: id, secret_key: s, \
        filters: [{name: 'tag:a', values: ['x y']}]}";
    const ZONES: Exchange<'_> = (
        "POST /\nauthorization: AWS4-HMAC-SHA256 Credential=id/\n\
         =Action=DescribeAvailabilityZones&Version=2016-11-15",
        "200\n<R><availabilityZoneInfo><item><zoneName>r1a</zoneName><zoneId>z1</zoneId></item>\
         </availabilityZoneInfo></R>",
    );
    const FIRST: &str = "POST /\n=Action=DescribeInstances&Version=2016-11-15\
        &Filter.1.Name=tag%3Aa&Filter.1.Value.1=x%20y";

    #[track_caller]
    fn check(exchanges: &[Exchange<'_>], expected: &str) {
        check_provider::<Ec2SdConfig>(
            SECTION,
            exchanges,
            async |config, api, _| refresh(config, api).await,
            expected,
        );
    }

    #[test]
    fn machines() {
        check(
            &[
                ZONES,
                (
                    FIRST,
                    "200\n<R><reservationSet><item><ownerId>o</ownerId><instancesSet><item>\
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
                ),
                (
                    &format!("{FIRST}&NextToken=n%2F2"),
                    "200\n<R><reservationSet><item><instancesSet><item><instanceId>six</instanceId>\
                     <vpcId>v</vpcId><subnetId>s</subnetId><networkInterfaceSet><item><subnetId>s</subnetId><attachment><deviceIndex>1\
                     </deviceIndex></attachment><ipv6AddressesSet><item><ipv6Address>fd00::1\
                     </ipv6Address></item><item><ipv6Address>fd00::2</ipv6Address><isPrimaryIpv6>true\
                     </isPrimaryIpv6></item></ipv6AddressesSet></item></networkInterfaceSet></item>\
                     </instancesSet></item></reservationSet></R>",
                ),
            ],
            r#"
r1 {}
  {__address__="10.0.0.1:80", __meta_ec2_ami="ami", __meta_ec2_availability_zone="r1a", __meta_ec2_availability_zone_id="z1", __meta_ec2_instance_id="i-1", __meta_ec2_instance_state="running", __meta_ec2_instance_type="t3", __meta_ec2_owner_id="o", __meta_ec2_primary_subnet_id="s1", __meta_ec2_private_dns_name="p.int", __meta_ec2_private_ip="10.0.0.1", __meta_ec2_public_dns_name="p.ext", __meta_ec2_public_ip="5.5.5.5", __meta_ec2_region="r1", __meta_ec2_subnet_id=",s1,s2,", __meta_ec2_tag_Na_me="n", __meta_ec2_vpc_id="v"}
  {__address__="[fd00::2]:80", __meta_ec2_default_ipv6_address="fd00::2", __meta_ec2_instance_id="six", __meta_ec2_ipv6_addresses=",fd00::1,fd00::2,", __meta_ec2_primary_ipv6_addresses=",,fd00::2,", __meta_ec2_primary_subnet_id="s", __meta_ec2_region="r1", __meta_ec2_subnet_id=",s,", __meta_ec2_vpc_id="v"}"#,
        );
    }

    #[test]
    fn refusals() {
        check(
            &[(ZONES.0, "403"), (FIRST, "403\n<R><Code>AuthFailure</Code></R>")],
            "could not describe instances: server returned HTTP status 403 Forbidden: \
             <R><Code>AuthFailure</Code></R>",
        );
    }
}
