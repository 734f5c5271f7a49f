module cluster-gateway/bench/peers/go-bare

go 1.26.0

tool cluster-gateway/bench/peers/go-bare
