import { ensureBuilt } from '../../e2e/kube/binaries.ts';
import type { Peer } from './peer.ts';

/** httputil.ReverseProxy of Go alone: no authentication, no authorization, no log. */
export const goBare: Peer = {
  name: 'go bare',
  what: 'httputil.ReverseProxy, h2 to h2, checks nothing',
  async prepare({ target, certificateFile, keyFile }) {
    const { 'go-bare': binary } = await ensureBuilt({
      'go-bare': { module: '../../bench/peers/go-bare', package: '.', ldflags: '-s -w', minutes: 0.5 },
    });
    return {
      prefix: '',
      command: (port) => ({
        command: binary,
        args: [
          `-listen=127.0.0.1:${port}`,
          ...[`-target=https://127.0.0.1:${target.port}`, `-target-ca=${target.caFile}`],
          ...[`-certificate=${certificateFile}`, `-key=${keyFile}`],
        ],
        env: { GOMAXPROCS: '1' },
      }),
    };
  },
};
