//! The life of a pod, step by step.

use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::*;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use crate::options::{Container, Options};

/// How long a container may take to end when it is asked to; the runtime kills it then.
const STOP_S: i64 = 10;
/// How long anything may take that has to be waited for.
const TIME_OUT: Duration = Duration::from_secs(20);

type Client = RuntimeServiceClient<Channel>;

/// A pod that is there, with its containers' ids in the order of the options.
struct Pod<'a> {
    client: Client,
    options: &'a Options,
    config: PodSandboxConfig,
    id: String,
    containers: Vec<String>,
}

/// Runs the pod.
///
/// # Errors
/// If a step fails or has another result than it must have.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let uri = format!("unix://{}", options.socket.display());
    let channel = Endpoint::from_shared(uri)?.connect().await.context("cannot connect")?;
    let mut client = Client::new(channel.clone());
    ready(&mut client).await?;
    images(ImageServiceClient::new(channel), options).await?;
    let mut pod = Pod::start(client, options).await?;
    for container in &options.containers {
        pod.create(container).await?;
    }
    pod.serve().await?;
    pod.look().await?;
    pod.refuse().await?;
    pod.stop().await?;
    pod.remove().await
}

/// Awaits an answer, tells how long it took, and gives what was asked for.
async fn step<T: serde::Serialize>(
    name: &str,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T> {
    let start = Instant::now();
    let answer = answer.await.with_context(|| format!("{name} failed"))?.into_inner();
    told(name, start, serde_json::to_value(&answer)?);
    Ok(answer)
}

fn told(name: &str, start: Instant, detail: Value) {
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    println!("{}", json!({ "step": name, "milliseconds": milliseconds, "answer": detail }));
}

/// Waits until the runtime says that it and its network are ready.
async fn ready(client: &mut Client) -> Result<()> {
    step("Version", client.version(VersionRequest { version: "v1".into() })).await?;
    let start = Instant::now();
    loop {
        let status = step("Status", client.status(StatusRequest::default())).await?;
        let conditions = status.status.context("no status")?.conditions;
        if conditions.iter().all(|condition| condition.status) {
            return Ok(());
        }
        ensure!(start.elapsed() < TIME_OUT, "not ready: {conditions:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn images(mut client: ImageServiceClient<Channel>, options: &Options) -> Result<()> {
    for container in &options.containers {
        let request = ImageStatusRequest { image: Some(image(container)), verbose: false };
        let status = step("ImageStatus", client.image_status(request)).await?;
        ensure!(status.image.is_some(), "the image {} is not there", container.image);
    }
    Ok(())
}

fn image(container: &Container) -> ImageSpec {
    ImageSpec { image: container.image.clone(), ..ImageSpec::default() }
}

/// What a kubelet asks for: a process namespace for each container, the rest shared by the pod.
fn namespaces() -> Option<NamespaceOption> {
    Some(NamespaceOption { pid: NamespaceMode::Container.into(), ..NamespaceOption::default() })
}

impl<'a> Pod<'a> {
    async fn start(mut client: Client, options: &'a Options) -> Result<Self> {
        let metadata = PodSandboxMetadata {
            name: "pod".into(),
            uid: "00000000-0000-4000-8000-000000000001".into(),
            namespace: "suite".into(),
            attempt: 0,
        };
        let security = LinuxSandboxSecurityContext {
            namespace_options: namespaces(),
            ..LinuxSandboxSecurityContext::default()
        };
        let config = PodSandboxConfig {
            metadata: Some(metadata),
            hostname: "pod".into(),
            log_directory: options.logs.display().to_string(),
            dns_config: Some(DnsConfig {
                servers: vec!["192.0.2.53".into()],
                ..Default::default()
            }),
            labels: HashMap::from([("suite".into(), "cri".into())]),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: options.cgroup_parent.clone(),
                security_context: Some(security),
                ..LinuxPodSandboxConfig::default()
            }),
            ..PodSandboxConfig::default()
        };
        let request = RunPodSandboxRequest {
            config: Some(config.clone()),
            runtime_handler: options.handler.clone(),
        };
        let id = step("RunPodSandbox", client.run_pod_sandbox(request)).await?.pod_sandbox_id;
        Ok(Self { client, options, config, id, containers: Vec::new() })
    }

    /// Creates a container and starts it.
    async fn create(&mut self, container: &Container) -> Result<()> {
        let security = LinuxContainerSecurityContext {
            namespace_options: namespaces(),
            no_new_privs: true,
            ..LinuxContainerSecurityContext::default()
        };
        let resources = LinuxContainerResources {
            memory_limit_in_bytes: 64 << 20,
            cpu_shares: 512,
            ..LinuxContainerResources::default()
        };
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: container.name.clone(), attempt: 0 }),
            image: Some(image(container)),
            args: container.arguments.clone(),
            log_path: format!("{}.log", container.name),
            linux: Some(LinuxContainerConfig {
                resources: Some(resources),
                security_context: Some(security),
            }),
            ..ContainerConfig::default()
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: self.id.clone(),
            config: Some(config),
            sandbox_config: Some(self.config.clone()),
        };
        let answer = step("CreateContainer", self.client.create_container(request)).await?;
        let id = answer.container_id;
        self.expect_state(&id, ContainerState::ContainerCreated).await?;
        let request = StartContainerRequest { container_id: id.clone() };
        step("StartContainer", self.client.start_container(request)).await?;
        self.expect_state(&id, ContainerState::ContainerRunning).await?;
        self.containers.push(id);
        Ok(())
    }

    async fn status(&mut self, id: &str) -> Result<ContainerStatus> {
        let request = ContainerStatusRequest { container_id: id.into(), verbose: false };
        let answer = step("ContainerStatus", self.client.container_status(request)).await?;
        answer.status.context("no status")
    }

    async fn expect_state(&mut self, id: &str, state: ContainerState) -> Result<ContainerStatus> {
        let status = self.status(id).await?;
        ensure!(
            status.state() == state,
            "{} instead of {}: {status:?}",
            status.state().as_str_name(),
            state.as_str_name()
        );
        Ok(status)
    }

    async fn pod_status(&mut self) -> Result<PodSandboxStatus> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: self.id.clone(), verbose: false };
        let answer = step("PodSandboxStatus", self.client.pod_sandbox_status(request)).await?;
        answer.status.context("no status")
    }

    /// Every container's port accepts a connection, on the pod's one address.
    async fn serve(&mut self) -> Result<()> {
        let status = self.pod_status().await?;
        ensure!(status.state() == PodSandboxState::SandboxReady, "{status:?}");
        let address = status.network.context("no network")?.ip.parse().context("no address")?;
        for container in &self.options.containers {
            let (start, address) = (Instant::now(), SocketAddr::new(address, container.port));
            while let Err(error) = connect(address).await {
                if start.elapsed() > TIME_OUT {
                    let logs = self.log(&container.name).unwrap_or_default();
                    bail!("{} at {address}: {error}; its log: {logs}", container.name);
                }
                sleep(Duration::from_millis(20)).await;
            }
            told("connect", start, json!(address.to_string()));
        }
        Ok(())
    }

    fn log(&self, name: &str) -> Result<String> {
        Ok(fs::read_to_string(self.options.logs.join(format!("{name}.log")))?)
    }

    /// Lists, statistics and logs.
    async fn look(&mut self) -> Result<()> {
        let filter =
            ContainerFilter { pod_sandbox_id: self.id.clone(), ..ContainerFilter::default() };
        let request = ListContainersRequest { filter: Some(filter) };
        let list = step("ListContainers", self.client.list_containers(request)).await?.containers;
        let running = |one: &k8s_cri::v1::Container| {
            one.state() == ContainerState::ContainerRunning && self.containers.contains(&one.id)
        };
        ensure!(
            list.len() == self.containers.len() && list.iter().all(running),
            "not the containers that were started: {list:?}"
        );
        for id in self.containers.clone() {
            let request = ContainerStatsRequest { container_id: id };
            let answer = step("ContainerStats", self.client.container_stats(request)).await?;
            let stats = answer.stats.context("no statistics")?;
            let used = stats.memory.as_ref().and_then(|memory| memory.working_set_bytes.clone());
            ensure!(used.is_some_and(|used| used.value > 0), "no memory in use: {stats:?}");
        }
        for container in &self.options.containers {
            let start = Instant::now();
            let log = self.log(&container.name)?;
            // `TIME stdout|stderr F|P TEXT`, which a kubelet reads.
            let right = |line: &str| {
                let words: Vec<_> = line.splitn(4, ' ').collect();
                words.len() == 4 && matches!(words[1], "stdout" | "stderr")
            };
            ensure!(
                !log.is_empty() && log.lines().all(right),
                "the log of {}: {log}",
                container.name
            );
            told("log", start, json!(log));
        }
        Ok(())
    }

    /// Nothing can be run in a container that has one program.
    async fn refuse(&mut self) -> Result<()> {
        for id in self.containers.clone() {
            let start = Instant::now();
            let cmd = vec!["/bin/true".into()];
            let request = ExecSyncRequest { container_id: id, cmd, timeout: 10 };
            let Err(status) = self.client.exec_sync(request).await else {
                bail!("ExecSync was not refused");
            };
            let said = status.message();
            ensure!(said.contains(&self.options.exec_says), "ExecSync: {said}");
            told("ExecSync", start, json!(said));
        }
        Ok(())
    }

    /// Each container ends by itself when it is asked to, long before it would be killed.
    async fn stop(&mut self) -> Result<()> {
        for id in self.containers.clone() {
            let start = Instant::now();
            let request = StopContainerRequest { container_id: id.clone(), timeout: STOP_S };
            step("StopContainer", self.client.stop_container(request)).await?;
            let took = start.elapsed();
            ensure!(took.as_secs() < STOP_S as u64, "had to be killed, after {took:?}");
            self.expect_state(&id, ContainerState::ContainerExited).await?;
        }
        Ok(())
    }

    /// Removes all; what it leaves is looked for by who started this.
    async fn remove(&mut self) -> Result<()> {
        for container_id in self.containers.clone() {
            let request = RemoveContainerRequest { container_id };
            step("RemoveContainer", self.client.remove_container(request)).await?;
        }
        let list = self.client.list_containers(ListContainersRequest::default());
        let list = step("ListContainers", list).await?.containers;
        ensure!(list.is_empty(), "still there: {list:?}");
        let pod_sandbox_id = self.id.clone();
        let request = StopPodSandboxRequest { pod_sandbox_id: pod_sandbox_id.clone() };
        step("StopPodSandbox", self.client.stop_pod_sandbox(request)).await?;
        let status = self.pod_status().await?;
        ensure!(status.state() == PodSandboxState::SandboxNotready, "{status:?}");
        let request = RemovePodSandboxRequest { pod_sandbox_id };
        step("RemovePodSandbox", self.client.remove_pod_sandbox(request)).await?;
        let list = self.client.list_pod_sandbox(ListPodSandboxRequest::default());
        let list = step("ListPodSandbox", list).await?.items;
        ensure!(list.is_empty(), "still there: {list:?}");
        Ok(())
    }
}

async fn connect(address: SocketAddr) -> Result<()> {
    let stream = tokio::time::timeout(Duration::from_secs(2), TcpStream::connect(address));
    stream.await.context("no answer")??;
    Ok(())
}
