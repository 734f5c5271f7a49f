/**
 * Leads from Unix sockets to ports that this process sees, of its loopback unless an address is named: paths cross network
 * namespaces, addresses do not. Arguments: PATH=PORT or PATH=ADDRESS:PORT …
 */
import { connect, createServer } from 'node:net';

for (const pair of process.argv.slice(2)) {
  const [path, target = ''] = pair.split('=');
  const [, host = '127.0.0.1', port] = /^(?:(.+):)?(\d+)$/.exec(target) ?? [];
  createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ host, port: Number(port), allowHalfOpen: true });
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
    near.pipe(far).pipe(near);
  }).listen(path);
}
