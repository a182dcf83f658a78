package ansi

import (
	"strconv"
	"strings"
)

// set applies the parameters of a "select graphic rendition" sequence.
func (s *Style) set(params string) {
	codes := strings.FieldsFunc(params, func(r rune) bool { return r == ';' || r == ':' })
	if len(codes) == 0 {
		*s = Style{}
		return
	}
	for i := 0; i < len(codes); i++ {
		code, err := strconv.Atoi(codes[i])
		if err != nil {
			return // private parameters such as ">4" are not about style
		}
		switch {
		case code == 0:
			*s = Style{}
		case code == 1:
			s.Bold = true
		case code == 2:
			s.Dim = true
		case code == 3:
			s.Italic = true
		case code == 4:
			s.Underline = true
		case code == 7:
			s.Inverse = true
		case code == 22:
			s.Bold, s.Dim = false, false
		case code == 23:
			s.Italic = false
		case code == 24:
			s.Underline = false
		case code == 27:
			s.Inverse = false
		case code >= 30 && code <= 37:
			s.Text = Colour(code-30) + Black
		case code == 39:
			s.Text = Default
		case code >= 40 && code <= 47:
			s.Back = Colour(code-40) + Black
		case code == 49:
			s.Back = Default
		case code >= 90 && code <= 97:
			s.Text = (Colour(code-90) + Black).Bright()
		case code >= 100 && code <= 107:
			s.Back = (Colour(code-100) + Black).Bright()
		case code == 38 || code == 48:
			c, n := palette(codes[i+1:])
			if n == 0 {
				return
			}
			if code == 38 {
				s.Text = c
			} else {
				s.Back = c
			}
			i += n
		}
	}
}

// palette reads "5;N" or "2;R;G;B" and says how many codes that were; 0: neither.
func palette(codes []string) (Colour, int) {
	var n [4]int
	for i := 0; i < len(codes) && i < 4; i++ {
		v, err := strconv.Atoi(codes[i])
		if err != nil || v < 0 || v > 255 {
			return Default, 0
		}
		n[i] = v
	}
	switch {
	case len(codes) >= 2 && n[0] == 5:
		return indexed(n[1]), 2
	case len(codes) >= 4 && n[0] == 2:
		return nearest(n[1], n[2], n[3]), 4
	}
	return Default, 0
}

// indexed turns a colour of the palette of 256 into one of 16.
func indexed(i int) Colour {
	switch {
	case i < 8:
		return Colour(i) + Black
	case i < 16:
		return (Colour(i-8) + Black).Bright()
	case i < 232: // a cube of 6 by 6 by 6
		level := func(v int) int {
			if v == 0 {
				return 0
			}
			return 55 + 40*v
		}
		i -= 16
		return nearest(level(i/36), level(i/6%6), level(i%6))
	}
	grey := 8 + 10*(i-232)
	return nearest(grey, grey, grey)
}

// nearest turns any colour into one of 16: which of its parts are strong, and whether
// the strongest is very strong.
func nearest(r, g, b int) Colour {
	strongest, weakest := max(r, g, b), min(r, g, b)
	if strongest-weakest < 32 { // a grey
		switch {
		case strongest < 48:
			return Black
		case strongest < 140:
			return Black.Bright()
		case strongest < 220:
			return White
		}
		return White.Bright()
	}
	c := Black
	for bit, part := range []int{r, g, b} {
		if part > (strongest+weakest)/2 {
			c += 1 << bit
		}
	}
	if strongest > 215 {
		return c.Bright()
	}
	return c
}

// sequence writes the style as a control sequence of our own.
func (s Style) sequence() string {
	codes := make([]string, 0, 8)
	add := func(on bool, code int) {
		if on {
			codes = append(codes, strconv.Itoa(code))
		}
	}
	add(s.Bold, 1)
	add(s.Dim, 2)
	add(s.Italic, 3)
	add(s.Underline, 4)
	add(s.Inverse, 7)
	add(s.Text != Default, colourCode(s.Text, 30))
	add(s.Back != Default, colourCode(s.Back, 40))
	return "\x1b[" + strings.Join(codes, ";") + "m"
}

func colourCode(c Colour, base int) int {
	if c >= bright {
		return base + 60 + int(c-bright)
	}
	return base + int(c-Black)
}

// Classes names the style for a style sheet: "t1" to "t16" for the text's colour, "b1"
// to "b16" for what is behind it, and a word for each of the rest. "" is plain.
func (s Style) Classes() string {
	if s == (Style{}) {
		return ""
	}
	var names []string
	if s.Text != Default {
		names = append(names, "t"+strconv.Itoa(int(s.Text)))
	}
	if s.Back != Default {
		names = append(names, "b"+strconv.Itoa(int(s.Back)))
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{s.Bold, "bold"}, {s.Dim, "dim"}, {s.Italic, "italic"}, {s.Underline, "under"}, {s.Inverse, "inverse"}} {
		if f.on {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, " ")
}
