//! `rds_sd_configs`: instances of the database clusters of RDS.
//!
//! Source: Prometheus `discovery/aws/rds.go`; the RDS Query API.

use engine::model::Labels;

use super::rds_fields::{CLUSTER, CLUSTER_TIMES, INSTANCE, INSTANCE_TIMES};
use super::{Places, Service, access, parameters, whole_seconds};
use crate::config::RdsSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::meta::Answer;
use crate::discovery::api::{Api, Meta, host_port, one_group};
use crate::discovery::xml::Element;

/// Version of the API.
const VERSION: &str = "2014-10-31";

pub async fn refresh(config: &RdsSdConfig, api: &mut Api) -> Result<Vec<TargetGroup>, String> {
    let mut rds = Service::new("rds", &access!(config), api, &Places::default()).await?;
    let mut targets = vec![];
    for cluster in clusters(config, &mut rds).await? {
        let arn = cluster.text_of("DBClusterArn");
        let mut asked = parameters([
            ("Filters.Filter.1.Name", "db-cluster-id"),
            ("Filters.Filter.1.Values.Value.1", arn.as_str()),
        ]);
        for (index, filter) in (2..).zip(&config.filters) {
            asked.push((format!("Filters.Filter.{index}.Name"), filter.name.clone()));
            for (number, value) in (1..).zip(&filter.values) {
                asked
                    .push((format!("Filters.Filter.{index}.Values.Value.{number}"), value.clone()));
            }
        }
        let instances = list(&mut rds, "DescribeDBInstances", "DBInstances", &asked).await;
        let instances = instances.map_err(|why| {
            format!(
                "error describing DB instances: failed to describe DB instances for cluster ARN \
                 {arn}: {why}"
            )
        })?;
        targets.extend(instances.iter().map(|instance| target(config, &cluster, instance)));
    }
    Ok(one_group(&rds.region, targets))
}

async fn clusters(config: &RdsSdConfig, rds: &mut Service<'_>) -> Result<Vec<Element>, String> {
    let action = "DescribeDBClusters";
    if config.clusters.is_empty() {
        let found = list(rds, action, "DBClusters", &[]).await;
        return found.map_err(|why| {
            format!("error describing all DB clusters: failed to describe DB clusters: {why}")
        });
    }
    let mut clusters = vec![];
    for arn in &config.clusters {
        let failed = |why: String| format!("error describing DB clusters: {why}");
        let asked = parameters([("DBClusterIdentifier", arn.as_str())]);
        let found = list(rds, action, "DBClusters", &asked)
            .await
            .map_err(|why| failed(format!("failed to describe DB cluster {arn}: {why}")))?;
        if found.is_empty() {
            return Err(failed(format!("no DB cluster found for ARN {arn}")));
        }
        clusters.extend(found);
    }
    Ok(clusters)
}

/// The items of all pages of a list.
async fn list(
    rds: &mut Service<'_>,
    action: &str,
    key: &str,
    asked: &[(String, String)],
) -> Result<Vec<Element>, String> {
    let (mut all, mut marker) = (vec![], String::new());
    loop {
        let mut asked = asked.to_vec();
        asked.extend(parameters([("MaxRecords", "100")]));
        if !marker.is_empty() {
            asked.extend(parameters([("Marker", marker.as_str())]));
        }
        let answer = rds.query(VERSION, action, &asked).await?;
        let result = answer.child(&format!("{action}Result"));
        all.extend(
            result
                .and_then(|result| result.child(key))
                .into_iter()
                .flat_map(|list| &list.children)
                .cloned(),
        );
        marker = result.map_or_else(String::new, |result| result.text_of("Marker"));
        if marker.is_empty() {
            return Ok(all);
        }
    }
}

fn target(config: &RdsSdConfig, cluster: &Element, instance: &Element) -> Labels {
    let id = instance.text_of("DBInstanceIdentifier");
    let members = cluster.child("DBClusterMembers").map_or(&[][..], |list| &list.children);
    let own = members.iter().find(|member| member.text_of("DBInstanceIdentifier") == id);
    let mut meta = Meta::new("__meta_rds_");
    meta.copy(cluster, CLUSTER).copy(instance, INSTANCE);
    for (of, times) in [(cluster, CLUSTER_TIMES), (instance, INSTANCE_TIMES)] {
        for (name, path) in times {
            meta.set(name, whole_seconds(&of.text_of(path)));
        }
    }
    meta.set(
        "instance_is_cluster_writer",
        own.map_or_else(String::new, |m| m.text_of("IsClusterWriter")),
    );
    for (of, name) in [(cluster, "cluster_tag_"), (instance, "instance_tag_")] {
        for tag in of.child("TagList").into_iter().flat_map(|list| &list.children) {
            meta.set_free(name, &tag.text_of("Key"), tag.text_of("Value"));
        }
    }
    let address = instance.text_of("Endpoint.Address");
    if !address.is_empty() && !instance.text_of("Endpoint.Port").is_empty() {
        meta.address(host_port(&address, config.port));
    }
    meta.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    #[track_caller]
    fn check(more: &str, exchanges: &[(&str, &str)], expected: &str) {
        check_provider::<RdsSdConfig>(
            &format!("{{endpoint: SERVER, region: r1, access_key: id, secret_key: s{more}}}"),
            exchanges,
            async |config, api, _| refresh(config, api).await,
            expected,
        );
    }

    #[test]
    fn instances() {
        check(
            ", filters: [{name: engine, values: [pg]}]",
            &[
                (
                    "POST /\nauthorization: AWS4-HMAC-SHA256 Credential=id/\n\
                     =Action=DescribeDBClusters&Version=2014-10-31&MaxRecords=100",
                    "200\n<R><DescribeDBClustersResult><DBClusters/><Marker>m</Marker>\
                     </DescribeDBClustersResult></R>",
                ),
                (
                    "POST /\n=Action=DescribeDBClusters&Version=2014-10-31&MaxRecords=100&Marker=m",
                    "200\n<R><DescribeDBClustersResult><DBClusters><DBCluster><DBClusterArn>arn:c\
                     </DBClusterArn><DBClusterIdentifier>c</DBClusterIdentifier><MultiAZ>true</MultiAZ>\
                     <ClusterCreateTime>2024-01-02T03:04:05.678Z</ClusterCreateTime><Port>5432</Port>\
                     <DBClusterMembers><DBClusterMember><DBInstanceIdentifier>i</DBInstanceIdentifier>\
                     <IsClusterWriter>true</IsClusterWriter></DBClusterMember></DBClusterMembers>\
                     <TagList><Tag><Key>a-b</Key><Value>c</Value></Tag></TagList></DBCluster>\
                     </DBClusters></DescribeDBClustersResult></R>",
                ),
                (
                    "POST /\n=Action=DescribeDBInstances&Version=2014-10-31&Filters.Filter.1.Name=db-cluster-id\
                     &Filters.Filter.1.Values.Value.1=arn%3Ac&Filters.Filter.2.Name=engine\
                     &Filters.Filter.2.Values.Value.1=pg&MaxRecords=100",
                    "200\n<R><DescribeDBInstancesResult><DBInstances><DBInstance><DBInstanceIdentifier>i\
                     </DBInstanceIdentifier><Engine>pg</Engine><DBSubnetGroup><DBSubnetGroupName>sg\
                     </DBSubnetGroupName></DBSubnetGroup><Endpoint><Address>i.test</Address><Port>5432\
                     </Port></Endpoint><TagList><Tag><Key>k</Key><Value>v</Value></Tag></TagList>\
                     </DBInstance></DBInstances></DescribeDBInstancesResult></R>",
                ),
            ],
            r#"
r1 {}
  {__address__="i.test:80", __meta_rds_cluster_arn="arn:c", __meta_rds_cluster_cluster_create_time="2024-01-02T03:04:05Z", __meta_rds_cluster_identifier="c", __meta_rds_cluster_multi_az="true", __meta_rds_cluster_port="5432", __meta_rds_cluster_tag_a_b="c", __meta_rds_instance_endpoint_address="i.test", __meta_rds_instance_endpoint_port="5432", __meta_rds_instance_engine="pg", __meta_rds_instance_identifier="i", __meta_rds_instance_is_cluster_writer="true", __meta_rds_instance_subnet_group="sg", __meta_rds_instance_tag_k="v"}"#,
        );
    }

    #[test]
    fn a_cluster_that_is_not_there() {
        check(
            ", clusters: ['arn:x']",
            &[(
                "POST /\n=Action=DescribeDBClusters&Version=2014-10-31&DBClusterIdentifier=arn%3Ax&MaxRecords=100",
                "200\n<R><DescribeDBClustersResult/></R>",
            )],
            "error describing DB clusters: no DB cluster found for ARN arn:x",
        );
    }
}
