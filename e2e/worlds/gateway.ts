import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';

import { stringify } from 'yaml';

import { type IssuedCertificate, issueCertificate } from '../../src/pki/issue.ts';
import { type ApiIdentity, createApiClient } from './api.ts';
import type { KubeCluster } from './control-plane.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import type { Kubectl } from './kubectl.ts';
import { nodeFlags } from './node-flags.ts';
import { freePorts } from './ports.ts';
import { mustRun, type ProcessGroup, type WorldProcess } from './process.ts';
import { requestToken } from './token.ts';
import { until } from './wait.ts';

const repository = resolve(import.meta.dirname, '../..');
const namespace = 'vela-system';
const account = 'cluster-gateway';
const apiService = 'v1alpha1.cluster.core.oam.dev';
/** Long enough for a world that somebody leaves running. */
const tokenSeconds = 30 * 86_400;

/** A gateway that runs as a process of its own. */
export interface GatewayProcess {
  /** https://127.0.0.1:port, or its place */
  readonly url: string;
  readonly port: number;
  /** The pid of the present process: `restart` gives another. */
  readonly pid: number;
  /** CA of its serving certificate. */
  readonly caPem: string;
  /** Path of the file with its output. */
  readonly log: string;
  /** Path of the kubeconfig with which it reaches the hub. */
  readonly kubeconfig: string;
  /** Path of the token in that kubeconfig; `rotateToken` replaces it. */
  readonly tokenFile: string;
  /** Paths of its serving certificate and key. */
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Ends it (TERM by default) and gives the exit code, undefined if a signal ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | undefined>;
  /** Ends it if it runs, starts it again on the same port, and waits until the hub says it is available. */
  restart(signal?: NodeJS.Signals): Promise<void>;
  /** Writes a new token of its service account into `tokenFile`. */
  rotateToken(): Promise<void>;
}

export interface GatewayOptions {
  /** More flags of `cluster-gateway apiserver`. */
  readonly flags?: readonly string[];
  /** Flags of Node. */
  readonly nodeFlags?: readonly string[];
  /** Serving certificate with its CA; default one made for the Service's name, localhost and 127.0.0.1. */
  readonly certificate?: IssuedCertificate & { readonly caPem: string };
  /** Whether the hub shall send its requests here. Default true; false for a further replica. */
  readonly registered?: boolean;
  /** The program instead of src/cli/main.ts, called with the same arguments. */
  readonly main?: string;
  /** In a network of its own. Default: a free port of this machine's loopback. */
  readonly place?: GatewayPlace;
}

/** Where a gateway listens in another network, which must have the address. */
export interface GatewayPlace {
  /** Of its Service; it listens there itself, on port 443, instead of a kube-proxy. */
  readonly clusterIp: string;
  /** Path of a Unix socket that leads there. */
  readonly socketPath: string;
}

/** What a gateway needs of its world. */
export interface GatewayHome {
  readonly directory: string;
  readonly hub: KubeCluster;
  readonly kubectl: Kubectl;
  readonly processes: ProcessGroup;
}

let gateways = 0;

/** Applies `apiservice/` to the hub, starts the gateway with a service account's token, registers it, and waits until it is available. */
export async function startGateway(home: GatewayHome, options: GatewayOptions = {}): Promise<GatewayProcess> {
  gateways += 1;
  const folder = join(home.directory, `gateway-${gateways}`);
  await mkdir(folder);
  const { place } = options;
  const [port = 0] = place === undefined ? await freePorts(1) : [443];
  const certificate = options.certificate ?? (await issueServing());
  const files = gatewayFiles(folder);
  const registered = options.registered ?? true;
  await Promise.all([
    writeFile(files.certificateFile, certificate.certificatePem),
    writeFile(files.keyFile, certificate.privateKeyPem, { mode: 0o600 }),
    registered ? applyRights({ home, folder, place }) : undefined,
  ]);
  await writeToken(home.hub, files.tokenFile);
  await writeKubeconfig(files.kubeconfig, {
    server: home.hub.url,
    caPem: home.hub.caPem,
    user: { tokenFile: files.tokenFile },
    name: 'hub',
  });
  const facts = { home, port, caPem: certificate.caPem, files, options };
  let running = await launch(facts);
  // Only now: a hub that looks for a gateway which is not there yet looks again after ever longer pauses.
  if (registered) await register({ home, folder, place }, { port, caPem: certificate.caPem });
  if (registered) await untilAvailable(running, home.hub);
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | undefined> =>
    (await running.end(signal)).code ?? undefined;
  return {
    url: `https://${place?.clusterIp ?? '127.0.0.1'}:${port}`,
    port,
    get pid() {
      return running.pid;
    },
    caPem: certificate.caPem,
    ...files,
    stop,
    async restart(signal) {
      await stop(signal);
      running = await launch(facts);
      if (registered) await untilAvailable(running, home.hub);
    },
    rotateToken: () => writeToken(home.hub, files.tokenFile),
  };
}

type GatewayFiles = Pick<GatewayProcess, 'kubeconfig' | 'tokenFile' | 'certificateFile' | 'keyFile' | 'log'>;

function gatewayFiles(folder: string): GatewayFiles {
  return {
    kubeconfig: join(folder, 'hub.kubeconfig'),
    tokenFile: join(folder, 'token'),
    certificateFile: join(folder, 'tls.crt'),
    keyFile: join(folder, 'tls.key'),
    log: join(folder, 'gateway.log'),
  };
}

async function issueServing(): Promise<IssuedCertificate & { caPem: string }> {
  const ca = await issueCertificate({ commonName: 'cluster-gateway-ca', ca: true });
  const serving = await issueCertificate(
    {
      commonName: account,
      usages: ['serverAuth'],
      dnsNames: [`${account}.${namespace}.svc`, 'localhost'],
      ipAddresses: ['127.0.0.1'],
    },
    { issuer: ca },
  );
  return { ...serving, caPem: ca.certificatePem };
}

interface Overlay {
  readonly home: GatewayHome;
  readonly folder: string;
  readonly place: GatewayPlace | undefined;
}

/** The manifests that everybody applies, but for the APIService: what the gateway needs before it can start. */
async function applyRights(overlay: Overlay): Promise<void> {
  const later = {
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: { name: apiService },
  };
  await applyOverlay(overlay, [{ patch: JSON.stringify({ $patch: 'delete', ...later }) }]);
}

/** All of the manifests, with what differs on loopback: where the Service leads, the port and the CA. */
async function register(
  overlay: Overlay,
  { port, caPem }: { readonly port: number; readonly caPem: string },
): Promise<void> {
  await applyOverlay(overlay, [
    patch('APIService', apiService, [
      { op: 'replace', path: '/spec/service/port', value: port },
      { op: 'add', path: '/spec/caBundle', value: Buffer.from(caPem).toString('base64') },
    ]),
  ]);
}

async function applyOverlay({ home, folder, place }: Overlay, patches: readonly unknown[]): Promise<void> {
  const service =
    place === undefined
      ? { type: 'ExternalName', externalName: 'localhost' }
      : { type: 'ClusterIP', clusterIP: place.clusterIp, ports: servicePorts };
  const endpoints = place === undefined ? [] : [await writeEndpointSlice(folder, place)];
  const overlay = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: [relative(folder, join(repository, 'apiservice')), ...endpoints],
    patches: [patch('Service', account, [{ op: 'replace', path: '/spec', value: service }]), ...patches],
  };
  await writeFile(join(folder, 'kustomization.yaml'), stringify(overlay));
  const { code, stderr } = await home.kubectl.run(['apply', '-k', folder], {
    kubeconfig: home.hub.kubeconfig,
  });
  if (code !== 0) throw new Error(`kubectl apply -k apiservice failed: ${stderr}`);
}

const servicePorts = [{ name: 'https', port: 443 }];

/** Without it the Service is one that no server is behind, whatever answers at its address. */
async function writeEndpointSlice(folder: string, { clusterIp }: GatewayPlace): Promise<string> {
  const slice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: account, namespace, labels: { 'kubernetes.io/service-name': account } },
    addressType: 'IPv4',
    ports: servicePorts,
    endpoints: [{ addresses: [clusterIp], conditions: { ready: true } }],
  };
  await writeFile(join(folder, 'endpoint-slice.yaml'), stringify(slice));
  return 'endpoint-slice.yaml';
}

function patch(kind: string, name: string, operations: readonly unknown[]): unknown {
  return { target: { kind, name }, patch: JSON.stringify(operations) };
}

/** Makes a token of the gateway's service account, as `kubectl create token` does, and replaces the file at once as a whole. */
async function writeToken(hub: KubeCluster, path: string): Promise<void> {
  const token = await requestToken(hub, { namespace, name: account, seconds: tokenSeconds });
  await writeFile(`${path}.new`, token, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

interface Launch {
  readonly home: GatewayHome;
  readonly port: number;
  readonly caPem: string;
  readonly files: GatewayFiles;
  readonly options: GatewayOptions;
}

async function launch({ home, port, caPem, files, options }: Launch): Promise<WorldProcess> {
  const { kubeconfig } = files;
  const gateway = await home.processes.start({
    name: 'the gateway',
    command: process.execPath,
    args: [
      ...nodeFlags,
      ...(options.nodeFlags ?? []),
      options.main ?? join(repository, 'src/cli/main.ts'),
      'apiserver',
      `--secure-port=${port}`,
      `--bind-address=${options.place?.clusterIp ?? '127.0.0.1'}`,
      `--secret-namespace=${namespace}`,
      `--kubeconfig=${kubeconfig}`,
      `--authentication-kubeconfig=${kubeconfig}`,
      `--authorization-kubeconfig=${kubeconfig}`,
      `--tls-cert-file=${files.certificateFile}`,
      `--tls-private-key-file=${files.keyFile}`,
      // What the Secrets of scenarios run.
      '--exec-plugin-allowlist=/bin/cat,/bin/sh',
      ...(options.flags ?? []),
    ],
    log: files.log,
    cwd: home.directory,
  });
  const socketPath = options.place?.socketPath;
  const url = `https://127.0.0.1:${port}`;
  await untilServing(gateway, { url, caPem, ...(socketPath === undefined ? {} : { socketPath }) });
  return gateway;
}

async function untilServing(gateway: WorldProcess, identity: ApiIdentity): Promise<void> {
  const api = createApiClient(identity);
  const check = (): Promise<void> => mustRun(gateway);
  const ready = async (): Promise<true | undefined> =>
    (await api.call('/readyz')).status === 200 ? true : undefined;
  await until('the gateway to be ready', ready, { timeoutMs: 40_000, check }).finally(() => api.close());
}

/** Availability may still be that of a gateway before this one, so a request must have come through, too. */
async function untilAvailable(gateway: WorldProcess, { api }: KubeCluster): Promise<void> {
  const available = async (): Promise<true | undefined> => {
    const service = (await api.expect(`/apis/apiregistration.k8s.io/v1/apiservices/${apiService}`)) as {
      status?: { conditions?: readonly { type: string; status: string }[] };
    };
    const condition = service.status?.conditions?.find(({ type }) => type === 'Available');
    if (condition?.status !== 'True') return undefined;
    const answer = await api.call('/apis/cluster.core.oam.dev/v1alpha1');
    return answer.status === 200 ? true : undefined;
  };
  const check = (): Promise<void> => mustRun(gateway);
  await until('the hub to reach the gateway', available, { timeoutMs: 20_000, check });
}
