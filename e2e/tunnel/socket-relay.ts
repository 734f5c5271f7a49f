/**
 * Leads from Unix sockets to ports of the loopback that this process sees: paths cross network namespaces, addresses do
 * not. Arguments: PATH=PORT …
 */
import { connect, createServer } from 'node:net';

for (const pair of process.argv.slice(2)) {
  const [path, port] = pair.split('=');
  createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ host: '127.0.0.1', port: Number(port), allowHalfOpen: true });
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
    near.pipe(far).pipe(near);
  }).listen(path);
}
