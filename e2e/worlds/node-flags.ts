/**
 * Flags of Node that the gateway's image starts it with (Dockerfile): what is tested and measured is what ships. The limit
 * of HTTP/1.1 request headers is one: a user with many groups needs more than 16 KiB of them. The other bounds the young
 * generation, which Node lets grow to 128 MiB and which never shrinks under load.
 */
export const nodeFlags = ['--max-http-header-size=1048576', '--max-semi-space-size=16'] as const;

/** Those of an agent, which makes few objects: the memory of a cluster is not ours to fill. */
export const agentNodeFlags = ['--max-http-header-size=1048576', '--max-semi-space-size=4'] as const;
