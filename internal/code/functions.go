package code

import (
	"crypto/sha1"
	"crypto/sha512"
	"encoding/hex"
	"math/big"
	"net/netip"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"github.com/terrace-cd/terrace/internal/config"
)

// functions are those of terrace.hcl, and some that only root modules need. An engine has
// more: what calls one of those is unknown here.
func (sc *scope) functions() map[string]function.Function {
	if sc.stack.fns == nil {
		fns := config.Functions(sc.stack.reader.tree, sc.stack.root.module.dir)
		for name, f := range engineFunctions {
			fns[name] = f
		}
		sc.stack.fns = fns
	}
	return sc.stack.fns
}

var engineFunctions = map[string]function.Function{
	"sensitive":    marking(func(v cty.Value) cty.Value { return v.Mark(config.SensitiveMark) }),
	"nonsensitive": marking(func(v cty.Value) cty.Value { v, _ = v.UnmarkDeep(); return v }),
	"one":          oneFunc,
	"sum":          sumFunc,
	"alltrue":      truth(true), "anytrue": truth(false),
	"setproduct": stdlib.SetProductFunc,
	"sha1": texts(1, func(a []string) (string, error) {
		sum := sha1.Sum([]byte(a[0]))
		return hex.EncodeToString(sum[:]), nil
	}),
	"sha512": texts(1, func(a []string) (string, error) {
		sum := sha512.Sum512([]byte(a[0]))
		return hex.EncodeToString(sum[:]), nil
	}),
	"cidrnetmask": texts(1, func(a []string) (string, error) {
		p, err := netip.ParsePrefix(a[0])
		if err != nil || !p.Addr().Is4() {
			return "", function.NewArgErrorf(0, "an IPv4 range is needed")
		}
		mask := ^uint32(0) << (32 - p.Bits())
		return netip.AddrFrom4([4]byte{byte(mask >> 24), byte(mask >> 16), byte(mask >> 8), byte(mask)}).String(), nil
	}),
	"cidrhost": ranged(1, func(p netip.Prefix, n []int64) (string, error) {
		free := p.Addr().BitLen() - p.Bits()
		offset := big.NewInt(n[0])
		size := new(big.Int).Lsh(big.NewInt(1), uint(free))
		if n[0] < 0 {
			offset.Add(offset, size)
		}
		if offset.Sign() < 0 || offset.Cmp(size) >= 0 {
			return "", function.NewArgErrorf(1, "there is no such host")
		}
		return plus(p.Masked().Addr(), offset).String(), nil
	}),
	"cidrsubnet": ranged(2, func(p netip.Prefix, n []int64) (string, error) {
		bits := int64(p.Bits()) + n[0]
		if n[0] < 0 || bits > int64(p.Addr().BitLen()) || n[1] < 0 || n[0] < 63 && n[1] >= 1<<n[0] {
			return "", function.NewArgErrorf(1, "there is no such subnet")
		}
		offset := new(big.Int).Lsh(big.NewInt(n[1]), uint(int64(p.Addr().BitLen())-bits))
		return netip.PrefixFrom(plus(p.Masked().Addr(), offset), int(bits)).String(), nil
	}),
}

// plus adds to an address.
func plus(a netip.Addr, offset *big.Int) netip.Addr {
	sum := new(big.Int).Add(new(big.Int).SetBytes(a.AsSlice()), offset)
	out, ok := netip.AddrFromSlice(sum.FillBytes(make([]byte, a.BitLen()/8)))
	if !ok {
		return a // as many bytes as it had always make one
	}
	return out
}

func ranged(numbers int, f func(netip.Prefix, []int64) (string, error)) function.Function {
	params := []function.Parameter{{Name: "prefix", Type: cty.String}}
	for range numbers {
		params = append(params, function.Parameter{Name: "number", Type: cty.Number})
	}
	return function.New(&function.Spec{Params: params, Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			p, err := netip.ParsePrefix(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "this is no address range")
			}
			n := make([]int64, numbers)
			for i := range n {
				if !args[i+1].AsBigFloat().IsInt() {
					return cty.NilVal, function.NewArgErrorf(i+1, "a whole number is needed")
				}
				n[i], _ = args[i+1].AsBigFloat().Int64()
			}
			out, err := f(p, n)
			return cty.StringVal(out), err
		}})
}

func texts(n int, f func([]string) (string, error)) function.Function {
	params := make([]function.Parameter, n)
	for i := range params {
		params[i] = function.Parameter{Name: "text", Type: cty.String}
	}
	return function.New(&function.Spec{Params: params, Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			in := make([]string, n)
			for i, a := range args {
				in[i] = a.AsString()
			}
			out, err := f(in)
			return cty.StringVal(out), err
		}})
}

func marking(f func(cty.Value) cty.Value) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowMarked: true, AllowNull: true, AllowUnknown: true, AllowDynamicType: true}},
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f(args[0]), nil },
	})
}

var oneFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
	Type: func(args []cty.Value) (cty.Type, error) {
		v, err := theOne(args[0])
		return v.Type(), err
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return theOne(args[0]) },
})

func theOne(list cty.Value) (cty.Value, error) {
	if !list.CanIterateElements() || list.LengthInt() > 1 {
		return cty.DynamicVal, function.NewArgErrorf(0, "a list of one, or none, is needed")
	}
	for it := list.ElementIterator(); it.Next(); {
		_, v := it.Element()
		return v, nil
	}
	return cty.NullVal(cty.DynamicPseudoType), nil
}

var sumFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Number)}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		total := cty.Zero
		for it := args[0].ElementIterator(); it.Next(); {
			_, v := it.Element()
			if !v.IsKnown() || v.IsNull() {
				return cty.UnknownVal(cty.Number), nil
			}
			total = total.Add(v)
		}
		return total, nil
	},
})

// truth is whether all, or any, are true.
func truth(all bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			for it := args[0].ElementIterator(); it.Next(); {
				_, v := it.Element()
				if !v.IsKnown() {
					return cty.UnknownVal(cty.Bool), nil
				}
				if !v.IsNull() && v.True() != all {
					return cty.BoolVal(!all), nil
				}
			}
			return cty.BoolVal(all), nil
		},
	})
}
