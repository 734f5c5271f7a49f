import type { Endpoint, ExecConfig } from './cluster.ts';

/**
 * What plugins get of the gateway's own environment: where programs and files are, the way out, the language, and the
 * workload identity that clouds give to a pod (names and files, no secrets). Anything else may be a secret of ours.
 */
const passedOn = [
  ...['PATH', 'HOME', 'USER', 'LOGNAME', 'TMPDIR', 'TZ', 'LANG', 'LC_ALL', 'LC_CTYPE'],
  ...['SSL_CERT_FILE', 'SSL_CERT_DIR', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'],
  ...['http_proxy', 'https_proxy', 'no_proxy', 'KUBERNETES_SERVICE_HOST', 'KUBERNETES_SERVICE_PORT'],
  ...['AWS_REGION', 'AWS_DEFAULT_REGION', 'AWS_ROLE_ARN', 'AWS_WEB_IDENTITY_TOKEN_FILE'],
  ...['AWS_STS_REGIONAL_ENDPOINTS', 'AWS_CONTAINER_CREDENTIALS_FULL_URI'],
  ...['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE', 'GOOGLE_APPLICATION_CREDENTIALS'],
  ...['AZURE_CLIENT_ID', 'AZURE_TENANT_ID', 'AZURE_FEDERATED_TOKEN_FILE', 'AZURE_AUTHORITY_HOST'],
];

export type Environment = Readonly<Record<string, string | undefined>>;

/** A plugin's whole environment: ours as far as it is passed on, then the Secret's own, then KUBERNETES_EXEC_INFO. */
export function execPluginEnvironment(
  config: ExecConfig,
  endpoint: Endpoint,
  own: Environment = process.env,
): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const name of passedOn) {
    const value = own[name];
    if (value !== undefined) environment[name] = value;
  }
  for (const { name, value } of config.env) environment[name] = value;
  environment['KUBERNETES_EXEC_INFO'] = execInfo(config, endpoint);
  return environment;
}

/** Which version to speak, and the cluster if the plugin wants to know (client-go pkg/apis/clientauthentication). */
function execInfo({ apiVersion, provideClusterInfo }: ExecConfig, endpoint: Endpoint): string {
  const cluster = provideClusterInfo ? { cluster: clusterInfo(endpoint) } : {};
  return JSON.stringify({ kind: 'ExecCredential', apiVersion, spec: { ...cluster, interactive: false } });
}

function clusterInfo({ url, authority, basePath, others, trust, proxyUrl, serverName }: Endpoint) {
  return {
    // A kubeconfig names one server: of several, the first.
    server: others ? `https://${authority}${basePath}` : url,
    ...(serverName === undefined ? {} : { 'tls-server-name': serverName }),
    ...(trust.type === 'none' ? { 'insecure-skip-tls-verify': true } : {}),
    ...(trust.type === 'ca'
      ? { 'certificate-authority-data': Buffer.from(trust.caPem).toString('base64') }
      : {}),
    ...(proxyUrl === undefined ? {} : { 'proxy-url': proxyUrl.reveal() }),
    config: null,
  };
}
