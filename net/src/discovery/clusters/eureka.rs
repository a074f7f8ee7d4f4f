//! `eureka_sd_configs`: instances of applications that a Eureka server knows.
//!
//! Source: Prometheus `discovery/eureka`.

use engine::model::Labels;

use crate::config::EurekaSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::{Api, Meta, Request, group, host_port};
use crate::discovery::xml::{self, Element};

pub async fn refresh(config: &EurekaSdConfig, api: &mut Api) -> Result<Vec<TargetGroup>, String> {
    let request = Request::get(format!("{}/apps", config.server)).with("accept", "application/xml");
    let answer = api.send(request).await?.body;
    let applications = xml::parse(&String::from_utf8_lossy(&answer))?;
    let of_application = |application: &Element| {
        let name = application.text_at(&["name"]);
        let targets = application.all("instance").map(|instance| target(name, instance));
        group(name, Labels::default(), targets.collect())
    };
    Ok(applications.all("application").map(of_application).collect())
}

fn target(application: &str, instance: &Element) -> Labels {
    let text = |name: &str| instance.text_at(&[name]);
    let port = instance.child("port");
    let mut meta = Meta::new("__meta_eureka_");
    meta.address(host_port(text("hostName"), port.map_or("80", |port| &port.text)))
        .set_plain("instance", text("instanceId"))
        .set("app_name", application);
    for (name, field) in [
        ("hostname", "hostName"),
        ("homepage_url", "homePageUrl"),
        ("statuspage_url", "statusPageUrl"),
        ("healthcheck_url", "healthCheckUrl"),
        ("ip_addr", "ipAddr"),
        ("vip_address", "vipAddress"),
        ("secure_vip_address", "secureVipAddress"),
        ("status", "status"),
        ("country_id", "countryId"),
        ("id", "instanceId"),
    ] {
        meta.set(&format!("app_instance_{name}"), text(field));
    }
    for (name, port) in [("port", port), ("secure_port", instance.child("securePort"))] {
        if let Some(port) = port {
            meta.set(&format!("app_instance_{name}"), &port.text);
            meta.set(&format!("app_instance_{name}_enabled"), port.attribute("enabled"));
        }
    }
    let center = instance.child("dataCenterInfo");
    meta.set("app_instance_datacenterinfo_name", center.map_or("", |c| c.text_at(&["name"])));
    for (name, of) in [("datacenterinfo_metadata_", center), ("metadata_", Some(instance))] {
        let pairs = of.and_then(|of| of.child("metadata")).map_or(&[][..], |m| &m.children);
        for pair in pairs {
            meta.set_free(&format!("app_instance_{name}"), &pair.name, &pair.text);
        }
    }
    meta.finish()
}

#[cfg(test)]
mod tests {
    use super::refresh;
    use crate::config::{EurekaSdConfig, yaml};
    use crate::discovery::api::Api;
    use crate::discovery::api::testing::check;
    use crate::http::testing::{FakeServer, reply};
    use std::time::Duration;

    #[test]
    fn applications() {
        let server = FakeServer::http(|asked| {
            assert_eq!(asked.target, "/eureka/apps");
            reply(
                "<applications><application><name>META</name><instance><hostName>h</hostName>\
                 <instanceId>h:1</instanceId><ipAddr>10.0.0.1</ipAddr><status>UP</status>\
                 <port enabled=\"true\">8080</port><countryId>1</countryId>\
                 <dataCenterInfo><name>MyOwn</name></dataCenterInfo>\
                 <metadata><management.port>8090</management.port></metadata></instance>\
                 </application></applications>",
            )
        });
        let mut config = EurekaSdConfig::default();
        yaml::decode(&format!("server: {}", server.url("/eureka")), &mut config).ok().unwrap();
        let mut api = Api::plain(Duration::from_secs(5));
        check(
            refresh(&config, &mut api),
            r#"
META {}
  {__address__="h:8080", __meta_eureka_app_instance_country_id="1", __meta_eureka_app_instance_datacenterinfo_name="MyOwn", __meta_eureka_app_instance_hostname="h", __meta_eureka_app_instance_id="h:1", __meta_eureka_app_instance_ip_addr="10.0.0.1", __meta_eureka_app_instance_metadata_management_port="8090", __meta_eureka_app_instance_port="8080", __meta_eureka_app_instance_port_enabled="true", __meta_eureka_app_instance_status="UP", __meta_eureka_app_name="META", instance="h:1"}"#,
        );
    }
}
