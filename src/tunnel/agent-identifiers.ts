/** What an agent says it can be reached by: the routing keys of a server (ANP pkg/agent/metadata). */
export interface AgentIdentifiers {
  readonly host: readonly string[];
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
  /** Accepted and used by nobody, as in the Go server. */
  readonly cidr: readonly string[];
  readonly defaultRoute: boolean;
}

/** The metadata of an agent's stream. */
export const agentIdHeader = 'agentid';
export const agentIdentifiersHeader = 'agentidentifiers';
/** The metadata of a server's answer. */
export const serverIdHeader = 'serverid';
export const serverCountHeader = 'servercount';

/** As Go's strconv.ParseBool reads them. */
const trueTexts: ReadonlySet<string> = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);

/** Reads `host=a&host=b&ipv4=…&default-route=true`; keys that are not known are left out. */
export function parseIdentifiers(text: string): AgentIdentifiers {
  const query = new URLSearchParams(text);
  return {
    host: query.getAll('host'),
    ipv4: query.getAll('ipv4'),
    ipv6: query.getAll('ipv6'),
    cidr: query.getAll('cidr'),
    defaultRoute: trueTexts.has(query.get('default-route') ?? ''),
  };
}

export function formatIdentifiers(identifiers: AgentIdentifiers): string {
  const { host, ipv4, ipv6, cidr, defaultRoute } = identifiers;
  const query = new URLSearchParams();
  for (const [key, values] of Object.entries({ host, ipv4, ipv6, cidr })) {
    for (const value of values) query.append(key, value);
  }
  if (defaultRoute) query.append('default-route', 'true');
  return query.toString();
}
