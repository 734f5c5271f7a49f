// A proxy that checks nothing: httputil.ReverseProxy between HTTP/2 on both sides. What Go itself costs.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	listen := flag.String("listen", "", "address to listen on")
	target := flag.String("target", "", "URL of the target")
	targetCA := flag.String("target-ca", "", "file with the CA of the target")
	certificate := flag.String("certificate", "", "file with the serving certificate")
	key := flag.String("key", "", "file with its key")
	flag.Parse()

	to, err := url.Parse(*target)
	if err != nil {
		log.Fatal(err)
	}
	pem, err := os.ReadFile(*targetCA)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) { request.SetURL(to) },
		Transport: &http.Transport{
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots},
		},
		FlushInterval: -1,
	}
	log.Fatal((&http.Server{Addr: *listen, Handler: proxy}).ListenAndServeTLS(*certificate, *key))
}
